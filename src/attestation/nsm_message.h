// NSM messages in both directions: what a program sends to the module and what the module answers. CBOR as
// serde writes Rust enums: a variant without fields is its name; one with fields is a map of one entry, name
// → map of fields.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "attestation/nsm.h"

namespace cloister::attestation {

inline constexpr std::size_t kMaxNsmRandom = 1024;             // bytes in one answer; the module gives 256
inline constexpr std::size_t kMaxExtendData = kMaxNsmRequest;  // bytes
inline constexpr std::size_t kMaxNsmAttestationField =
    kMaxNsmRequest;  // bytes; the module itself decides what is too large

struct DescribePcrRequest {
  std::uint16_t index = 0;
};
struct ExtendPcrRequest {
  std::uint16_t index = 0;
  Bytes data;
};
struct LockPcrRequest {
  std::uint16_t index = 0;
};
struct LockPcrsRequest {
  std::uint16_t range = 0;
};
struct DescribeNsmRequest {};
struct GetRandomRequest {};
using NsmRequest = std::variant<DescribePcrRequest, ExtendPcrRequest, LockPcrRequest, LockPcrsRequest,
                                DescribeNsmRequest, AttestationRequest, GetRandomRequest>;

enum class NsmErrorCode {
  success,
  invalid_argument,
  invalid_index,
  invalid_response,
  read_only_index,
  invalid_operation,
  buffer_too_small,
  input_too_large,
  internal_error,
};
std::string_view to_string(NsmErrorCode code);  // the name on the wire: "ReadOnlyIndex"

struct ExtendPcrResponse {
  Bytes data;
};
struct LockPcrResponse {};
struct LockPcrsResponse {};
struct AttestationResponse {
  Bytes document;
};
struct GetRandomResponse {
  Bytes random;
};
using NsmResponse = std::variant<PcrState, ExtendPcrResponse, LockPcrResponse, LockPcrsResponse,
                                 NsmDescription, AttestationResponse, GetRandomResponse, NsmErrorCode>;

Bytes encode_request(const NsmRequest& request);
// corrupt: anything but one request. Fields may come in any order; absent optional fields count as null.
Result<NsmRequest> parse_request(ByteView cbor);

Bytes encode_response(const NsmResponse& response);
// corrupt: anything but one response.
Result<NsmResponse> parse_response(ByteView cbor);

}  // namespace cloister::attestation
