#include "codec/cbor.h"

namespace cloister::codec {

namespace {

// The ranges of RFC 3629 section 4: for each first byte, how many follow and what the second may be.
struct Sequence {
  std::size_t more = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  bool valid = true;
};

Sequence sequence_of(std::uint8_t first) {
  if (first < 0x80) return {};
  if (first < 0xC2 || first > 0xF4) return {.valid = false};
  if (first < 0xE0) return {.more = 1};
  if (first < 0xF0) {
    return {.more = 2,
            .low = static_cast<std::uint8_t>(first == 0xE0 ? 0xA0 : 0x80),
            .high = static_cast<std::uint8_t>(first == 0xED ? 0x9F : 0xBF)};
  }
  return {.more = 3,
          .low = static_cast<std::uint8_t>(first == 0xF0 ? 0x90 : 0x80),
          .high = static_cast<std::uint8_t>(first == 0xF4 ? 0x8F : 0xBF)};
}

}  // namespace

bool is_utf8(ByteView bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    auto sequence = sequence_of(bytes[i++]);
    if (!sequence.valid || sequence.more > bytes.size() - i) return false;
    for (std::size_t n = 0; n < sequence.more; ++n) {
      auto byte = bytes[i++];
      if (byte < sequence.low || byte > sequence.high) return false;
      sequence.low = 0x80;
      sequence.high = 0xBF;
    }
  }
  return true;
}

}  // namespace cloister::codec
