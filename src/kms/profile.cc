#include "kms/profile.h"

#include "base/bytes.h"
#include "sys/file.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxFileBytes = 1024 * 1024;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// [default], [profile name], [profile "a name"]: the name inside, quotes and inner runs of blanks gone.
std::string section_name(std::string_view line) {
  line.remove_prefix(1);
  std::string out;
  for (char c : trim(line.substr(0, line.find(']')))) {
    if (c == '"' || c == '\'') continue;
    bool blank = is_blank(c);
    if (!blank || !out.ends_with(' ')) out.push_back(blank ? ' ' : c);
  }
  return out;
}

std::string_view take_line(std::string_view& text) {
  auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

// [name], key = value, comments, and indented lines below a key. The line itself stays out of the error: it
// may hold a secret.
Status check_lines(std::string_view text, const std::string& path) {
  for (int number = 1; !text.empty(); ++number) {
    auto line = take_line(text);
    auto content = trim(line);
    if (content.empty() || is_blank(line.front()) || content.front() == '#' || content.front() == ';')
      continue;
    char wanted = content.front() == '[' ? ']' : '=';
    if (content.find(wanted) == content.npos)
      return fail(ErrorKind::corrupt, "{}:{}: neither [PROFILE] nor KEY = VALUE", path, number);
  }
  return {};
}

// false: there is no such file or no such section.
Result<bool> visit_file(const std::string& path, std::string_view section, const VisitSetting& visit) {
  auto read = sys::read_file(path, kMaxFileBytes);
  if (!read && read.error().kind() == ErrorKind::not_found) return false;
  auto bytes = TRY(std::move(read));
  Secret contents(std::move(bytes));  // wipes itself
  TRY(check_lines(as_text(contents.view()), path));
  return visit_section(as_text(contents.view()), section, visit);
}

}  // namespace

bool visit_section(std::string_view text, std::string_view section, const VisitSetting& visit) {
  bool inside = false;
  bool found = false;
  while (!text.empty()) {
    auto line = take_line(text);
    bool indented = !line.empty() && is_blank(line.front());
    auto content = trim(line);
    if (content.empty() || indented || content.front() == '#' || content.front() == ';') continue;
    if (content.front() == '[') {
      inside = section_name(content) == section;
      found = found || inside;
      continue;
    }
    auto equals = content.find('=');
    if (inside && equals != content.npos)
      visit(trim(content.substr(0, equals)), trim(content.substr(equals + 1)));
  }
  return found;
}

bool SharedFiles::profile_was_named() const {
  return !environment_("AWS_PROFILE").value_or("").empty();
}

std::string SharedFiles::profile() const {
  auto named = environment_("AWS_PROFILE").value_or("");
  return named.empty() ? "default" : named;
}

std::string SharedFiles::expand(const std::string& path) const {
  return path.starts_with("~/") ? environment_("HOME").value_or("") + path.substr(1) : path;
}

std::string SharedFiles::path(std::string_view variable, std::string_view below_home) const {
  auto named = environment_(variable).value_or("");
  if (!named.empty()) return expand(named);
  auto home = environment_("HOME").value_or("");
  return home.empty() ? std::string() : fmt::format("{}/{}", home, below_home);
}

Result<bool> SharedFiles::visit(const std::string& name, const VisitSetting& visit) const {
  auto config_section = name == "default" ? name : "profile " + name;
  bool found = false;
  if (auto file = path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"); !file.empty()) {
    found = TRY(visit_file(file, name, visit));
  }
  if (auto file = path("AWS_CONFIG_FILE", ".aws/config"); !file.empty()) {
    auto also = TRY(visit_file(file, config_section, visit));
    found = found || also;
  }
  return found;
}

}  // namespace cloister::kms
