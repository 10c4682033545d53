#include "codec/image_contents.h"

#include <charconv>

namespace cloister::codec {

namespace {

Result<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return fail(ErrorKind::invalid, "the image's contents: '{}' is not a number", text);
  return value;
}

}  // namespace

Result<Contents> parse_contents(std::string_view text) {
  auto blank = text.find(' ');
  if (blank == std::string_view::npos || !text.ends_with('\n') || text.size() > kMaxContentsFile)
    return fail(ErrorKind::invalid, "the image's contents are not FILES BYTES");
  text.remove_suffix(1);
  return Contents{.files = TRY(number(text.substr(0, blank))), .bytes = TRY(number(text.substr(blank + 1)))};
}

std::string to_text(const Contents& contents) {
  return fmt::format("{} {}\n", contents.files, contents.bytes);
}

}  // namespace cloister::codec
