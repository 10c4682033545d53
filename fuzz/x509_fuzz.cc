// Certificates of attestation documents and TLS peers. One that we did not sign has no place in a chain of
// ours.
#include <cstdint>
#include <cstdlib>

#include "crypto/x509.h"

namespace {

using namespace cloister;
using namespace cloister::crypto;

constexpr sys::UnixMillis kStart = 1'000'000'000'000;
constexpr sys::UnixMillis kEnd = 4'000'000'000'000;

struct Party {
  PrivateKey key;
  Certificate certificate;
};

Party issue(const Party* issuer, bool authority) {
  auto key = PrivateKey::generate(KeyType::p384).value();
  CertificateRequest request{.common_name = authority ? "aws.nitro-enclaves" : "leaf",
                             .organization = "Amazon",
                             .authority = authority,
                             .not_before = kStart,
                             .not_after = kEnd};
  auto made = issue_certificate(request, key.public_key(), issuer ? &issuer->certificate : nullptr,
                                issuer ? issuer->key : key);
  return {std::move(key), std::move(made).value()};
}

void require(bool condition) {
  if (!condition) std::abort();
}

// At a time when ours are valid, and when the stranger says it is.
void check_chains(const Certificate& stranger) {
  static const Party root = issue(nullptr, true);
  static const Party leaf = issue(&root, false);
  const auto& trusted = root.certificate;
  static const bool honest = verify_chain(leaf.certificate, {}, trusted, kStart).has_value();
  require(honest);
  for (auto at : {stranger.not_before(), kStart}) {
    require(!verify_chain(stranger, {}, stranger, at));
    require(!verify_chain(stranger, {stranger}, stranger, at));
    require(!verify_chain(stranger, {}, trusted, at));
    require(!verify_chain(leaf.certificate, {stranger}, trusted, at));
    require(!verify_chain(leaf.certificate, {}, stranger, at));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto certificate = Certificate::from_der({data, size});
  if (!certificate) return 0;
  require(certificate->der() == Bytes(data, data + size));  // one certificate, one encoding
  (void)certificate->subject();
  (void)certificate->not_after();
  auto key = certificate->public_key();
  require(!key || PublicKey::from_spki(key->spki()));
  check_chains(*certificate);
  return 0;
}
