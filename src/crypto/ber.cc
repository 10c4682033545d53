#include "crypto/ber.h"

#include <algorithm>
#include <utility>

namespace cloister::crypto {

namespace {

constexpr std::uint8_t kIndefinite = 0x80;
constexpr std::uint8_t kConstructed = 0x20;
constexpr std::size_t kMaxLengthOctets = 2;  // lengths below 64 KiB

}  // namespace

bool BerReader::next_is(BerTag tag) const {
  return at_ < end() && bytes_[at_] == std::to_underlying(tag);
}

Result<std::uint8_t> BerReader::octet() {
  if (at_ >= end()) return fail(ErrorKind::corrupt, "BER: truncated at {}", at_);
  return bytes_[at_++];
}

Result<std::size_t> BerReader::long_length(std::size_t octets) {
  if (octets > kMaxLengthOctets) return fail(ErrorKind::corrupt, "BER: length too long at {}", at_);
  std::size_t length = 0;
  for (std::size_t i = 0; i < octets; ++i) length = length << 8 | TRY(octet());
  std::size_t least = octets == 1 ? 0x80 : 0x100;
  if (length < least) return fail(ErrorKind::corrupt, "BER: length not in its shortest form at {}", at_);
  return length;
}

Result<BerReader::Header> BerReader::header(BerTag tag) {
  if (!next_is(tag))
    return fail(ErrorKind::corrupt, "BER: not tag {:#04x} at {}", std::to_underlying(tag), at_);
  ++at_;
  auto first = TRY(octet());
  if (first == kIndefinite) return Header{0, true};
  std::size_t length = first < kIndefinite ? first : TRY(long_length(first & 0x7f));
  if (length > end() - at_) return fail(ErrorKind::corrupt, "BER: value past the end at {}", at_);
  return Header{length, false};
}

Status BerReader::enter(BerTag tag) {
  if (scopes_.size() == kMaxDepth) return fail(ErrorKind::corrupt, "BER: nested too deep at {}", at_);
  auto opened = TRY(header(tag));
  scopes_.push_back({opened.indefinite ? end() : at_ + opened.length, opened.indefinite});
  return {};
}

Status BerReader::leave() {
  if (scopes_.empty()) return fail(ErrorKind::internal, "BER: nothing to leave");
  if (scopes_.back().indefinite) {
    auto first = TRY(octet());
    auto second = TRY(octet());
    if (first != 0 || second != 0) return fail(ErrorKind::corrupt, "BER: no end of contents at {}", at_);
  } else if (at_ != scopes_.back().end) {
    return fail(ErrorKind::corrupt, "BER: unexpected value at {}", at_);
  }
  scopes_.pop_back();
  return {};
}

Result<ByteView> BerReader::primitive(BerTag tag) {
  auto opened = TRY(header(tag));
  if (opened.indefinite || (std::to_underlying(tag) & kConstructed) != 0) {
    return fail(ErrorKind::corrupt, "BER: not primitive at {}", at_);
  }
  auto contents = bytes_.subspan(at_, opened.length);
  at_ += opened.length;
  return contents;
}

Status BerReader::expect(BerTag tag, ByteView contents) {
  auto found = TRY(primitive(tag));
  if (!std::ranges::equal(found, contents)) return fail(ErrorKind::corrupt, "BER: another value at {}", at_);
  return {};
}

Status BerReader::finish() const {
  if (!scopes_.empty() || at_ != bytes_.size())
    return fail(ErrorKind::corrupt, "BER: trailing bytes at {}", at_);
  return {};
}

}  // namespace cloister::crypto
