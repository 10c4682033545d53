#include <algorithm>

#include "codec/cbor.h"

namespace cloister::codec {

namespace {

// RFC 8949 section 3.1.
enum Major : unsigned {
  kUint = 0,
  kNegative = 1,
  kBytes = 2,
  kText = 3,
  kArray = 4,
  kMap = 5,
  kTag = 6,
  kSimple = 7
};
constexpr std::uint64_t kFalse = 20;
constexpr std::uint64_t kTrue = 21;
constexpr std::uint64_t kNull = 22;
constexpr unsigned kIndefinite = 31;
constexpr std::uint8_t kBreak = 0xFF;
constexpr std::uint8_t kNullByte = 0xF6;
constexpr std::string_view kNoSuchSimple = "a float, a break or an unknown simple value";

CborType type_of(unsigned major, unsigned info) {
  switch (major) {
    case kUint:
      return CborType::uint;
    case kNegative:
      return CborType::negative;
    case kBytes:
      return CborType::bytes;
    case kText:
      return CborType::text;
    case kArray:
      return CborType::array;
    case kMap:
      return CborType::map;
    case kTag:
      return CborType::tag;
    default:
      return info == kNull ? CborType::null : CborType::boolean;
  }
}

unsigned major_of(std::uint8_t initial) {
  return static_cast<unsigned>(initial) >> 5;
}
unsigned info_of(std::uint8_t initial) {
  return initial & 31U;
}

bool has_indefinite_form(unsigned major) {
  return major >= kBytes && major <= kMap;
}

}  // namespace

std::unexpected<Error> CborReader::refuse(std::string_view why) const {
  return fail(ErrorKind::corrupt, "CBOR at byte {}: {}", offset(), why);
}

Result<std::uint8_t> CborReader::next_byte() const {
  auto ahead = rest_;
  if (ahead.empty()) return refuse("truncated");
  return ahead.u8();
}

// Initial byte and argument, in the shortest form or not at all.
Result<CborReader::Head> CborReader::head() {
  auto initial = TRY(next_byte());
  unsigned major = major_of(initial);
  unsigned info = info_of(initial);
  if (major == kSimple && (info < kFalse || info > kNull)) return refuse(kNoSuchSimple);
  TRY(rest_.u8());
  if (info < 24) return Head{.major = major, .argument = info};
  if (info == kIndefinite && has_indefinite_form(major)) {
    if (mode_ == CborMode::canonical) return refuse("indefinite length");
    return Head{.major = major, .indefinite = true};
  }
  if (info > 27) return refuse("reserved length");
  return Head{.major = major, .argument = TRY(argument(info))};
}

// Of 1, 2, 4 or 8 bytes, and too large for fewer.
Result<std::uint64_t> CborReader::argument(unsigned info) {
  std::uint64_t value = 0;
  std::uint64_t least = 0;
  switch (info) {
    case 24:
      value = TRY(rest_.u8());
      least = 24;
      break;
    case 25:
      value = TRY(rest_.u16());
      least = 1ULL << 8;
      break;
    case 26:
      value = TRY(rest_.u32());
      least = 1ULL << 16;
      break;
    default:
      value = TRY(rest_.u64());
      least = 1ULL << 32;
      break;
  }
  if (value < least) return refuse("integer or length not in its shortest form");
  return value;
}

// May an item stand here at all?
Status CborReader::check_place() const {
  if (frames_.empty()) {
    if (complete_) return refuse("bytes after the end");
    return {};
  }
  const auto& frame = frames_.back();
  if (frame.left == 0) return refuse("too many or too few entries");
  if (frame.indefinite && TRY(next_byte()) == kBreak) return refuse("an entry is missing");
  return {};
}

Result<CborReader::Head> CborReader::item(unsigned major, std::string_view wanted) {
  TRY(check_place());
  if (!frames_.empty() && frames_.back().at_key && major > kText)
    return refuse("this type cannot be a map key");
  if (major_of(TRY(next_byte())) != major) return refuse(wanted);
  return head();
}

// Accounts for an item that has just ended, key or value or element.
Status CborReader::complete(std::size_t start) {
  tagged_ = false;
  if (frames_.empty()) {
    complete_ = true;
    return {};
  }
  if (frames_.back().at_key) TRY(check_key(start));
  auto& frame = frames_.back();
  if (frame.is_map) frame.at_key = !frame.at_key;
  --frame.left;
  return {};
}

// Shortest forms only, so that equal keys are equal bytes.
Status CborReader::check_key(std::size_t start) {
  auto& frame = frames_.back();
  auto key = all_.subspan(start, offset() - start);
  if (mode_ == CborMode::lenient) {
    if (!frame.keys.insert(as_text(key)).second) return refuse("a map key stands twice");
    return {};
  }
  bool after = std::ranges::lexicographical_compare(frame.last_key, key);
  if (!after) return refuse("map keys stand twice or out of order");
  frame.last_key = key;
  return {};
}

Result<CborType> CborReader::peek() const {
  TRY(check_place());
  auto initial = TRY(next_byte());
  unsigned info = info_of(initial);
  if (major_of(initial) == kSimple && (info < kFalse || info > kNull)) return refuse(kNoSuchSimple);
  return type_of(major_of(initial), info);
}

Result<std::uint64_t> CborReader::uint(std::uint64_t max) {
  auto start = offset();
  auto head = TRY(item(kUint, "not an unsigned integer"));
  if (head.argument > max) return refuse(fmt::format("integer above {}", max));
  TRY(complete(start));
  return head.argument;
}

Result<std::int64_t> CborReader::integer(std::int64_t min, std::int64_t max) {
  auto start = offset();
  TRY(check_place());
  bool negative = major_of(TRY(next_byte())) == kNegative;
  auto head = TRY(item(negative ? kNegative : kUint, "not an integer"));
  if (head.argument > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return refuse("integer beyond 64 bits");
  }
  auto value = static_cast<std::int64_t>(head.argument);
  if (negative) value = -1 - value;
  if (value < min || value > max) return refuse(fmt::format("integer outside {} to {}", min, max));
  TRY(complete(start));
  return value;
}

Result<bool> CborReader::boolean() {
  auto start = offset();
  auto head = TRY(item(kSimple, "not a boolean"));
  if (head.argument != kFalse && head.argument != kTrue) return refuse("not a boolean");
  TRY(complete(start));
  return head.argument == kTrue;
}

Result<bool> CborReader::optional_null() {
  auto start = offset();
  TRY(check_place());
  if (TRY(next_byte()) != kNullByte) return false;
  TRY(item(kSimple, "not null"));
  TRY(complete(start));
  return true;
}

Status CborReader::string_content(unsigned major, const Head& head, std::size_t max, Bytes& out) {
  if (head.argument > max - out.size()) return refuse(fmt::format("string longer than {} bytes", max));
  if (head.argument > rest_.remaining()) return refuse("truncated string");
  auto content = TRY(rest_.bytes(static_cast<std::size_t>(head.argument)));
  if (major == kText && !is_utf8(content)) return refuse("text is not UTF-8");
  append(out, content);
  return {};
}

// Each chunk is a whole string of the same type and of definite length (RFC 8949 section 3.2.3).
Status CborReader::chunks(unsigned major, std::size_t max, Bytes& out) {
  while (TRY(next_byte()) != kBreak) {
    auto chunk = TRY(head());
    if (chunk.major != major || chunk.indefinite) return refuse("a chunk of another type");
    TRY(string_content(major, chunk, max, out));
  }
  TRY(rest_.u8());
  return {};
}

Result<Bytes> CborReader::string(unsigned major, std::size_t max, std::size_t min) {
  auto start = offset();
  auto head = TRY(item(major, major == kText ? "not a text string" : "not a byte string"));
  Bytes out;
  if (head.indefinite) {
    if (!frames_.empty() && frames_.back().at_key) return refuse("a map key of indefinite length");
    TRY(chunks(major, max, out));
  } else {
    TRY(string_content(major, head, max, out));
  }
  if (out.size() < min) return refuse(fmt::format("string shorter than {} bytes", min));
  TRY(complete(start));
  return out;
}

Result<Bytes> CborReader::bytes(std::size_t max, std::size_t min) {
  return string(kBytes, max, min);
}

Result<std::string> CborReader::text(std::size_t max, std::size_t min) {
  return std::string(as_text(TRY(string(kText, max, min))));
}

Result<ByteView> CborReader::bytes_view(std::size_t max, std::size_t min) {
  auto start = offset();
  auto head = TRY(item(kBytes, "not a byte string"));
  if (head.indefinite) return refuse("a byte string of indefinite length");
  if (head.argument > max) return refuse(fmt::format("string longer than {} bytes", max));
  if (head.argument < min) return refuse(fmt::format("string shorter than {} bytes", min));
  auto content = TRY(rest_.bytes(static_cast<std::size_t>(head.argument)));
  TRY(complete(start));
  return content;
}

Result<std::uint64_t> CborReader::tag() {
  auto head = TRY(item(kTag, "not a tag"));
  tagged_ = true;
  return head.argument;
}

Result<std::size_t> CborReader::open(unsigned major, std::size_t max_count, bool exact) {
  Frame frame{.is_map = major == kMap, .start = offset()};
  auto head = TRY(item(major, major == kMap ? "not a map" : "not an array"));
  if (frames_.size() >= kMaxCborDepth) return refuse(fmt::format("nested deeper than {}", kMaxCborDepth));
  std::size_t items_each = frame.is_map ? 2 : 1;
  auto count = head.indefinite ? max_count : head.argument;
  if (count > max_count || (exact && count != max_count)) {
    return refuse(fmt::format("{} than {} entries", exact ? "other" : "more", max_count));
  }
  // An item is one byte or more: a count that the bytes cannot hold is refused before anybody loops over it.
  if (!head.indefinite && count > rest_.remaining() / items_each) return refuse("truncated array or map");
  frame.indefinite = head.indefinite;
  frame.at_key = frame.is_map;
  frame.left = count * items_each;
  frames_.push_back(std::move(frame));
  tagged_ = false;
  return frames_.size();
}

Result<CborArray> CborReader::array(std::size_t max_count) {
  return CborArray(*this, TRY(open(kArray, max_count, false)));
}

Result<CborArray> CborReader::array_of(std::size_t count) {
  return CborArray(*this, TRY(open(kArray, count, true)));
}

Result<CborMap> CborReader::map(std::size_t max_count) {
  return CborMap(*this, TRY(open(kMap, max_count, false)));
}

Status CborReader::check_open(std::size_t depth) const {
  if (depth != frames_.size())
    return fail(ErrorKind::internal, "CBOR array or map is not the innermost open one");
  if (tagged_) return refuse("a tag without an item");
  if (frames_.back().is_map && !frames_.back().at_key) return refuse("a key without a value");
  return {};
}

Result<bool> CborReader::more(std::size_t depth) {
  TRY(check_open(depth));
  const auto& frame = frames_.back();
  if (!frame.indefinite) return frame.left > 0;
  if (TRY(next_byte()) == kBreak) return false;
  if (frame.left == 0) return refuse("too many entries");
  return true;
}

Status CborReader::close(std::size_t depth) {
  if (TRY(more(depth))) return refuse("an entry that does not belong here");
  if (frames_.back().indefinite) TRY(rest_.u8());
  auto start = frames_.back().start;
  frames_.pop_back();
  return complete(start);
}

Status CborReader::skip_elements(CborArray container) {
  while (TRY(container.more())) {
    bool key = frames_.back().is_map;
    TRY(skip_item());
    if (key) TRY(skip_item());
  }
  return container.finish();
}

// Recursion ends at kMaxCborDepth, where open() refuses.
Status CborReader::skip_item() {
  auto unlimited = all_.size();
  while (TRY(peek()) == CborType::tag) TRY(tag());
  auto type = TRY(peek());
  switch (type) {
    case CborType::uint:
      TRY(uint());
      return {};
    case CborType::negative: {
      auto start = offset();
      TRY(item(kNegative, "not an integer"));
      return complete(start);
    }
    case CborType::bytes:
    case CborType::text:
      TRY(string(type == CborType::text ? kText : kBytes, unlimited, 0));
      return {};
    case CborType::array:
      return skip_elements(TRY(array(unlimited)));
    case CborType::map:
      return skip_elements(TRY(map(unlimited)));
    case CborType::null:
      TRY(optional_null());
      return {};
    default:
      TRY(boolean());
      return {};
  }
}

Result<ByteView> CborReader::skip() {
  auto start = offset();
  TRY(skip_item());
  return all_.subspan(start, offset() - start);
}

Status CborReader::finish() const {
  if (!frames_.empty()) return fail(ErrorKind::internal, "CBOR array or map is still open");
  if (!complete_) return refuse("nothing was read");
  if (!rest_.empty()) return refuse("bytes after the end");
  return {};
}

}  // namespace cloister::codec
