// Bytes, views of bytes, and the bounds-checked cursor that every parser of this project reads through.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;
template <std::size_t N>
using ByteArray = std::array<std::uint8_t, N>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(ByteView view) {
  return {view.begin(), view.end()};
}
inline Bytes to_bytes(std::string_view text) {
  return to_bytes(as_bytes(text));
}
inline void append(Bytes& out, ByteView more) {
  out.insert(out.end(), more.begin(), more.end());
}

// Lowercase hexadecimal. Decoding takes both cases and refuses anything else.
std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view text);

// Compares without a data-dependent branch; the lengths are public.
bool equal_constant_time(ByteView a, ByteView b);

// A cursor over bytes that never reads past their end. Integers are big-endian.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  std::size_t remaining() const { return rest_.size(); }
  bool empty() const { return rest_.empty(); }

  Result<std::uint8_t> u8();
  Result<std::uint16_t> u16();
  Result<std::uint32_t> u32();
  Result<std::uint64_t> u64();
  Result<ByteView> bytes(std::size_t count);
  // Refuses trailing bytes.
  Status finish() const;

 private:
  Result<std::uint64_t> integer(std::size_t width);
  ByteView rest_;
};

// The other direction. Grows without a limit of its own: what it writes is ours.
class Writer {
 public:
  Writer& u8(std::uint8_t value);
  Writer& u16(std::uint16_t value);
  Writer& u32(std::uint32_t value);
  Writer& u64(std::uint64_t value);
  Writer& bytes(ByteView more);

  const Bytes& view() const { return out_; }
  Bytes take() && { return std::move(out_); }

 private:
  Writer& integer(std::uint64_t value, int width);
  Bytes out_;
};

}  // namespace cloister
