#include "boot/parameters.h"

#include <charconv>

namespace cloister::boot {

namespace {

constexpr std::string_view kParentCid = "cloister.parent_cid=";
constexpr std::uint32_t kAnyCid = 0xffffffff;

Result<std::uint32_t> cid_of(std::string_view text) {
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < kLowestPeerCid || value == kAnyCid)
    return fail(ErrorKind::invalid, "{}{}: not the CID of a parent", kParentCid, text);
  return value;
}

}  // namespace

Status check_command_line(std::string_view actual, std::string_view measured) {
  bool begins = actual.starts_with(measured);
  auto rest = begins ? actual.substr(measured.size()) : std::string_view();
  bool ends = rest.empty() || rest.front() == ' ' || rest.front() == '\n';
  if (measured.empty() || !begins || !ends)
    return fail(ErrorKind::denied, "this image was started with another command line than it was made with");
  return {};
}

Result<Parameters> parse_parameters(std::string_view command_line) {
  constexpr std::string_view kBlank = " \t\n";
  Parameters out;
  while (!command_line.empty()) {
    auto begin = command_line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) break;
    command_line.remove_prefix(begin);
    auto word = command_line.substr(0, command_line.find_first_of(kBlank));
    if (word.starts_with(kParentCid)) out.parent_cid = TRY(cid_of(word.substr(kParentCid.size())));
    command_line.remove_prefix(word.size());
  }
  return out;
}

}  // namespace cloister::boot
