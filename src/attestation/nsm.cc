#include "attestation/nsm.h"

#include <limits>

#include "attestation/nsm_message.h"

namespace cloister::attestation {

namespace {

// What the caller can do about it: change the request, or accept the refusal.
ErrorKind kind_of(NsmErrorCode code) {
  switch (code) {
    case NsmErrorCode::invalid_argument:
    case NsmErrorCode::invalid_index:
    case NsmErrorCode::input_too_large:
      return ErrorKind::invalid;
    default:
      return ErrorKind::denied;
  }
}

template <class Response>
Result<Response> call(NsmDevice& device, const NsmRequest& request, std::string_view what) {
  auto encoded = encode_request(request);
  if (encoded.size() > kMaxNsmRequest) {
    return fail(ErrorKind::invalid, "NSM {}: the request is larger than {} bytes", what, kMaxNsmRequest);
  }
  auto answer = TRY(device.exchange(encoded).context(what));
  auto response = TRY(parse_response(answer).context(what));
  if (const auto* code = std::get_if<NsmErrorCode>(&response)) {
    return fail(kind_of(*code), "NSM {}: {}", what, to_string(*code));
  }
  auto* wanted = std::get_if<Response>(&response);
  if (wanted == nullptr) return fail(ErrorKind::corrupt, "NSM {}: the answer is to another request", what);
  return std::move(*wanted);
}

Result<std::uint16_t> wire_index(unsigned value) {
  if (value > std::numeric_limits<std::uint16_t>::max()) {
    return fail(ErrorKind::invalid, "NSM: there is no PCR{}", value);
  }
  return static_cast<std::uint16_t>(value);
}

}  // namespace

Result<Bytes> Nsm::attest(const AttestationRequest& request) {
  return TRY(call<AttestationResponse>(device_, request, "Attestation")).document;
}

Result<PcrState> Nsm::describe_pcr(unsigned index) {
  DescribePcrRequest request{.index = TRY(wire_index(index))};
  return call<PcrState>(device_, request, "DescribePCR");
}

Result<Bytes> Nsm::extend_pcr(unsigned index, ByteView data) {
  ExtendPcrRequest request{.index = TRY(wire_index(index)), .data = to_bytes(data)};
  return TRY(call<ExtendPcrResponse>(device_, request, "ExtendPCR")).data;
}

Status Nsm::lock_pcr(unsigned index) {
  LockPcrRequest request{.index = TRY(wire_index(index))};
  TRY(call<LockPcrResponse>(device_, request, "LockPCR"));
  return {};
}

Status Nsm::lock_pcrs(unsigned range) {
  LockPcrsRequest request{.range = TRY(wire_index(range))};
  TRY(call<LockPcrsResponse>(device_, request, "LockPCRs"));
  return {};
}

Result<NsmDescription> Nsm::describe() {
  return call<NsmDescription>(device_, DescribeNsmRequest{}, "DescribeNSM");
}

Result<Bytes> Nsm::random() {
  return TRY(call<GetRandomResponse>(device_, GetRandomRequest{}, "GetRandom")).random;
}

}  // namespace cloister::attestation
