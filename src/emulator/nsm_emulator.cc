#include "emulator/nsm_emulator.h"

#include "attestation/document.h"
#include "codec/cbor.h"
#include "crypto/digest.h"

namespace cloister::emulator {

namespace {

using attestation::NsmErrorCode;
using attestation::NsmResponse;

constexpr std::size_t kPcrSize = 48;                        // bytes, SHA-384
constexpr sys::UnixMillis kRenewBefore = 10LL * 60 * 1000;  // milliseconds before a leaf expires
constexpr std::string_view kDigest = "SHA384";

bool too_large(const std::optional<Bytes>& field, std::size_t limit) {
  return field && field->size() > limit;
}

Status check_inputs(const std::string& module_id, const std::map<unsigned, attestation::Pcr>& pcrs) {
  if (module_id.empty() || module_id.size() > attestation::kMaxModuleId ||
      !codec::is_utf8(as_bytes(module_id))) {
    return fail(ErrorKind::invalid, "emulated NSM: the module id is empty, too long or not UTF-8");
  }
  for (const auto& [index, value] : pcrs) {
    if (index >= kBootPcrs)
      return fail(ErrorKind::invalid, "emulated NSM: PCR{} is not measured at boot", index);
    if (value.size() != kPcrSize)
      return fail(ErrorKind::invalid, "emulated NSM: PCR{} has {} bytes", index, value.size());
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<EmulatedNsm>> EmulatedNsm::create(const DevelopmentRoot& root, std::string module_id,
                                                         const std::map<unsigned, attestation::Pcr>& pcrs,
                                                         const sys::Clock& clock) {
  TRY(check_inputs(module_id, pcrs));
  auto chain = TRY(NsmChain::issue(root, module_id).context("emulated NSM"));
  auto leaf = TRY(chain.issue_leaf(clock.now()).context("emulated NSM"));
  std::unique_ptr<EmulatedNsm> nsm(
      new EmulatedNsm(std::move(chain), std::move(leaf), std::move(module_id), clock));
  for (unsigned i = 0; i < nsm->pcrs_.size(); ++i) {
    auto measured = pcrs.find(i);
    nsm->pcrs_[i] = {.locked = i < kBootPcrs,
                     .value = measured == pcrs.end() ? Bytes(kPcrSize) : measured->second};
  }
  return nsm;
}

Result<Bytes> EmulatedNsm::exchange(ByteView request) {
  if (request.size() > attestation::kMaxNsmRequest) {
    return fail(ErrorKind::invalid, "NSM: a request of {} bytes is too large", request.size());
  }
  auto parsed = attestation::parse_request(request);
  if (!parsed.has_value()) return attestation::encode_response(NsmErrorCode::invalid_argument);
  std::lock_guard held(mutex_);
  return attestation::encode_response(
      std::visit([this](const auto& message) { return answer(message); }, *parsed));
}

NsmResponse EmulatedNsm::answer(const attestation::DescribePcrRequest& request) {
  if (request.index >= pcrs_.size()) return NsmErrorCode::invalid_index;
  return pcrs_[request.index];
}

NsmResponse EmulatedNsm::answer(const attestation::ExtendPcrRequest& request) {
  if (request.index >= pcrs_.size()) return NsmErrorCode::invalid_index;
  auto& pcr = pcrs_[request.index];
  if (pcr.locked) return NsmErrorCode::read_only_index;
  auto extended = pcr.value;
  append(extended, request.data);
  auto digest = crypto::sha384(extended);
  pcr.value.assign(digest.begin(), digest.end());
  return attestation::ExtendPcrResponse{.data = pcr.value};
}

NsmResponse EmulatedNsm::answer(const attestation::LockPcrRequest& request) {
  if (request.index >= pcrs_.size()) return NsmErrorCode::invalid_index;
  if (pcrs_[request.index].locked) return NsmErrorCode::read_only_index;
  pcrs_[request.index].locked = true;
  return attestation::LockPcrResponse{};
}

// Unlike a single one, a range may be locked again.
NsmResponse EmulatedNsm::answer(const attestation::LockPcrsRequest& request) {
  if (request.range > pcrs_.size()) return NsmErrorCode::invalid_index;
  for (unsigned i = 0; i < request.range; ++i) pcrs_[i].locked = true;
  return attestation::LockPcrsResponse{};
}

NsmResponse EmulatedNsm::answer(const attestation::DescribeNsmRequest&) {
  attestation::NsmDescription about{.module_id = module_id_,
                                    .max_pcrs = static_cast<unsigned>(pcrs_.size()),
                                    .digest = std::string(kDigest)};
  for (unsigned i = 0; i < pcrs_.size(); ++i) {
    if (pcrs_[i].locked) about.locked_pcrs.push_back(i);
  }
  return about;
}

NsmResponse EmulatedNsm::answer(const attestation::AttestationRequest& request) {
  if (too_large(request.user_data, attestation::kMaxUserData) ||
      too_large(request.nonce, attestation::kMaxNonce) ||
      too_large(request.public_key, attestation::kMaxPublicKey)) {
    return NsmErrorCode::input_too_large;
  }
  // The specification of documents has no empty key.
  if (request.public_key && request.public_key->empty()) return NsmErrorCode::invalid_argument;
  auto document = make_document(request);
  if (!document.has_value()) return NsmErrorCode::internal_error;
  return attestation::AttestationResponse{.document = std::move(*document)};
}

NsmResponse EmulatedNsm::answer(const attestation::GetRandomRequest&) {
  return attestation::GetRandomResponse{.random = crypto::random_bytes(kNsmRandomSize)};
}

// Before it expires, and after a clock that went back.
Status EmulatedNsm::renew_leaf(sys::UnixMillis now) {
  bool fresh = leaf_.certificate.not_before() <= now && now + kRenewBefore < leaf_.certificate.not_after();
  if (!fresh) leaf_ = TRY(chain_.issue_leaf(now));
  return {};
}

// Every boot PCR, and of the others those that can no longer change.
Result<Bytes> EmulatedNsm::make_document(const attestation::AttestationRequest& request) {
  auto now = clock_.now();
  TRY(renew_leaf(now));
  attestation::Document document{.module_id = module_id_,
                                 .digest = std::string(kDigest),
                                 .timestamp = now,
                                 .pcrs = {},
                                 .certificate = leaf_.certificate.der(),
                                 .cabundle = chain_.cabundle(),
                                 .public_key = request.public_key,
                                 .user_data = request.user_data,
                                 .nonce = request.nonce};
  for (unsigned i = 0; i < pcrs_.size(); ++i) {
    if (pcrs_[i].locked) document.pcrs.emplace(i, pcrs_[i].value);
  }
  return attestation::sign_document(document, leaf_.key);
}

}  // namespace cloister::emulator
