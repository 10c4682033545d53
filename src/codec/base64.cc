#include "codec/base64.h"

#include <algorithm>

namespace cloister::codec {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

using Inverse = std::array<std::int8_t, 256>;
constexpr Inverse inverse_of(std::string_view alphabet) {
  Inverse inverse{};
  inverse.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    inverse[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  }
  return inverse;
}
constexpr auto kInverse = inverse_of(kAlphabet);
constexpr auto kUrlInverse = inverse_of(kUrlAlphabet);

// Four characters stand for three bytes.
std::uint32_t group_of(ByteView three) {
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < three.size() ? three[i] : 0U);
  return group;
}

Result<Bytes> decode(std::string_view text, const Inverse& inverse) {
  if (text.size() % 4 != 0) return fail(ErrorKind::invalid, "base64: the length is no multiple of four");
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  auto digits = text.substr(0, text.size() - padding);

  Bytes out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  unsigned held = 0;  // bits not yet written
  for (std::size_t i = 0; i < digits.size(); ++i) {
    auto digit = inverse[static_cast<unsigned char>(digits[i])];
    if (digit < 0) return fail(ErrorKind::invalid, "base64: no digit at {}", i);
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out.push_back(static_cast<std::uint8_t>(bits >> held));
    bits &= (1U << held) - 1;
  }
  if (bits != 0) return fail(ErrorKind::invalid, "base64: unused bits are not zero");
  return out;
}

}  // namespace

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(3, bytes.size()))) {
    auto taken = bytes.first(std::min<std::size_t>(3, bytes.size()));
    auto group = group_of(taken);
    for (std::size_t i = 0; i < 4; ++i) {
      out.push_back(i <= taken.size() ? kAlphabet[group >> (18 - 6 * i) & 63] : '=');
    }
  }
  return out;
}

Result<Bytes> from_base64(std::string_view text) {
  return decode(text, kInverse);
}

Result<Bytes> from_base64url(std::string_view text) {
  return decode(text, kUrlInverse);
}

}  // namespace cloister::codec
