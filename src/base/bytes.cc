#include "base/bytes.h"

namespace cloister {

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (auto byte : bytes) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return fail(ErrorKind::invalid, "odd number of hexadecimal digits");
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    int high = hex_digit(text[i]);
    int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return fail(ErrorKind::invalid, "not a hexadecimal digit at {}", i);
    out.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return out;
}

bool equal_constant_time(ByteView a, ByteView b) {
  if (a.size() != b.size()) return false;
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

Result<std::uint64_t> Reader::integer(std::size_t width) {
  auto raw = TRY(bytes(width));
  std::uint64_t value = 0;
  for (auto byte : raw) value = value << 8 | byte;
  return value;
}

Result<std::uint8_t> Reader::u8() {
  return static_cast<std::uint8_t>(TRY(integer(1)));
}
Result<std::uint16_t> Reader::u16() {
  return static_cast<std::uint16_t>(TRY(integer(2)));
}
Result<std::uint32_t> Reader::u32() {
  return static_cast<std::uint32_t>(TRY(integer(4)));
}
Result<std::uint64_t> Reader::u64() {
  return integer(8);
}

Result<ByteView> Reader::bytes(std::size_t count) {
  if (count > rest_.size()) {
    return fail(ErrorKind::corrupt, "truncated: {} bytes wanted, {} left", count, rest_.size());
  }
  auto out = rest_.first(count);
  rest_ = rest_.subspan(count);
  return out;
}

Status Reader::finish() const {
  if (!rest_.empty()) return fail(ErrorKind::corrupt, "{} bytes after the end", rest_.size());
  return {};
}

Writer& Writer::integer(std::uint64_t value, int width) {
  for (int shift = (width - 1) * 8; shift >= 0; shift -= 8)
    out_.push_back(static_cast<std::uint8_t>(value >> shift));
  return *this;
}

Writer& Writer::u8(std::uint8_t value) {
  return integer(value, 1);
}
Writer& Writer::u16(std::uint16_t value) {
  return integer(value, 2);
}
Writer& Writer::u32(std::uint32_t value) {
  return integer(value, 4);
}
Writer& Writer::u64(std::uint64_t value) {
  return integer(value, 8);
}

Writer& Writer::bytes(ByteView more) {
  append(out_, more);
  return *this;
}

}  // namespace cloister
