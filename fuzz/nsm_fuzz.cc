// NSM messages in both directions: what is parsed is parsed again from its own encoding.
#include <cstdint>
#include <cstdlib>

#include "attestation/nsm_message.h"

namespace {

using namespace cloister;
using namespace cloister::attestation;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView bytes(data, size);
  if (auto request = parse_request(bytes)) {
    auto encoded = encode_request(*request);
    // Explicit nulls may make it longer than what was read.
    auto again = parse_request(encoded);
    require(encoded.size() > kMaxNsmRequest || (again.has_value() && encode_request(*again) == encoded));
  }
  if (auto response = parse_response(bytes)) {
    auto encoded = encode_response(*response);
    auto again = parse_response(encoded);
    require(again.has_value() && encode_response(*again) == encoded);
  }
  return 0;
}
