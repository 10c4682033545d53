#include "image/cpio_count.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "image/tree.h"

namespace cloister::image {

namespace {

constexpr std::size_t kHeader = 110;         // bytes: the magic and 13 fields of 8 digits
constexpr std::string_view kMagic = "0707";  // 070701 is newc, 070702 newc with checksums; Linux takes both
constexpr std::string_view kTrailer = "TRAILER!!!";
constexpr std::uint64_t kAlignment = 4;  // bytes
constexpr std::uint64_t kPage = 4096;    // bytes
constexpr std::size_t kModeAt = 14;      // of a header: where the fields stand that matter here
constexpr std::size_t kSizeAt = 54;
constexpr std::size_t kNameSizeAt = 94;
constexpr std::size_t kDigits = 8;

std::uint64_t padding_after(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

Result<std::uint64_t> field(std::string_view header, std::size_t at) {
  std::uint32_t value = 0;
  const char* digits = header.data() + at;
  auto [end, error] = std::from_chars(digits, digits + kDigits, value, 16);
  if (error != std::errc() || end != digits + kDigits)
    return fail(ErrorKind::corrupt, "cpio: a field of a header is not hexadecimal");
  return value;
}

}  // namespace

Status CpioCounter::write(ByteView bytes) {
  while (!bytes.empty()) {
    if (state_ == State::between) {
      // Zeros, and then another archive or nothing.
      auto start = std::ranges::find_if(bytes, [](auto byte) { return byte != 0; });
      bytes = bytes.subspan(static_cast<std::size_t>(start - bytes.begin()));
      if (bytes.empty()) return {};
      state_ = State::header;
      missing_ = kHeader;
    }
    auto part = bytes.first(std::min<std::uint64_t>(missing_, bytes.size()));
    bytes = bytes.subspan(part.size());
    missing_ -= part.size();
    if (state_ != State::passing) append(piece_, part);
    while (missing_ == 0 && state_ != State::between) TRY(next());
  }
  return {};
}

// What was read is whole: on to the next.
Status CpioCounter::next() {
  if (state_ == State::header) {
    TRY(read_header());
  } else if (state_ == State::name) {
    read_name();
  } else {
    state_ = State::header;
    missing_ = kHeader;
  }
  piece_.clear();
  return {};
}

Status CpioCounter::read_header() {
  auto text = as_text(piece_);
  if (!text.starts_with(kMagic)) return fail(ErrorKind::corrupt, "cpio: not a newc archive");
  auto mode = TRY(field(text, kModeAt));
  auto size = TRY(field(text, kSizeAt));
  auto name_size = TRY(field(text, kNameSizeAt));
  if (name_size == 0 || name_size > kMaxTreePath + 1)
    return fail(ErrorKind::corrupt, "cpio: a name of {} bytes", name_size);
  auto pages = (size + kPage - 1) / kPage * kPage;
  Node node;
  node.mode = static_cast<mode_t>(mode);
  entry_ = {
      .entries = 1, .content_bytes = node.is_file() ? pages : 0, .unpacked_bytes = std::max(pages, kPage)};
  after_name_ = padding_after(kHeader + name_size) + size + padding_after(size);
  state_ = State::name;
  missing_ = name_size;
  return {};
}

void CpioCounter::read_name() {
  auto name = as_text(piece_);
  if (name.substr(0, name.size() - 1) == kTrailer) {
    state_ = State::between;
    any_ = true;
    return;
  }
  count_.entries += entry_.entries;
  count_.content_bytes += entry_.content_bytes;
  count_.unpacked_bytes += entry_.unpacked_bytes;
  state_ = State::passing;
  missing_ = after_name_;
}

Result<CpioCount> CpioCounter::finish() const {
  if (state_ != State::between || !any_) return fail(ErrorKind::corrupt, "cpio: its end is missing");
  return count_;
}

}  // namespace cloister::image
