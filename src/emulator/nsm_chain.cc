#include "emulator/nsm_chain.h"

#include <algorithm>

namespace cloister::emulator {

namespace {

constexpr sys::UnixMillis kLeafValidity = 3LL * 60 * 60 * 1000;  // milliseconds, as of real ones
constexpr sys::UnixMillis kLeafSlack = 60LL * 1000;  // milliseconds: a verifier's clock may be behind
constexpr std::size_t kMaxCommonName = 64;           // X.520 ub-common-name
constexpr std::string_view kOrganization = "Cloister development";

crypto::CertificateRequest request_for(std::string_view name) {
  return {.common_name = std::string(name.substr(0, kMaxCommonName)),
          .organization = std::string(kOrganization)};
}

Result<NsmLeaf> issue_below(const NsmLeaf& issuer, const crypto::CertificateRequest& request) {
  auto key = TRY(crypto::PrivateKey::generate(crypto::KeyType::p384));
  auto certificate =
      TRY(crypto::issue_certificate(request, key.public_key(), &issuer.certificate, issuer.key));
  return NsmLeaf{.key = std::move(key), .certificate = std::move(certificate)};
}

}  // namespace

Result<NsmChain> NsmChain::issue(const DevelopmentRoot& root, const std::string& module_id) {
  NsmLeaf issuer{.key = root.key, .certificate = root.certificate};
  std::vector<Bytes> cabundle{issuer.certificate.der()};
  int below = 2;  // authorities that may follow
  for (std::string_view level : {"regional", "zonal", "instance"}) {
    auto request = request_for(fmt::format("{}.development.cloister", level));
    request.authority = true;
    request.path_length = below--;
    request.not_before = root.certificate.not_before();
    request.not_after = root.certificate.not_after();
    issuer = TRY(issue_below(issuer, request));
    cabundle.push_back(issuer.certificate.der());
  }
  return NsmChain(module_id, std::move(cabundle), std::move(issuer));
}

Result<NsmLeaf> NsmChain::issue_leaf(sys::UnixMillis now) const {
  auto request = request_for(module_id_);
  request.not_before = std::max(now - kLeafSlack, instance_.certificate.not_before());
  request.not_after = now + kLeafValidity;
  return issue_below(instance_, request);
}

}  // namespace cloister::emulator
