#include "kms/sts_answer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/log.h"
#include "http/json.h"
#include "kms/times.h"

namespace cloister::kms {

namespace {

using http::JsonString;  // wipes itself

constexpr std::size_t kMaxMessageBytes = 1024;
constexpr std::size_t kMaxReference = 8;  // bytes between & and ;
constexpr std::size_t kMinKeyId = 16;     // characters, as IAM has it
constexpr std::size_t kMaxKeyId = 128;
constexpr std::string_view kSpace = " \t\r\n";

std::unexpected<Error> malformed(std::string_view why) {
  return fail(ErrorKind::corrupt, "malformed XML: {}", why);
}

bool is_space(std::string_view text) {
  return text.find_first_not_of(kSpace) == text.npos;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxXmlName && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// The character that a reference stands for: five names, and numbers of ASCII.
Result<char> resolve(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, char>, 5> kNames = {
      {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
  for (auto [known, character] : kNames) {
    if (name == known) return character;
  }
  if (!name.starts_with('#')) return malformed("an unknown reference");
  bool hex = name.starts_with("#x");
  auto digits = name.substr(hex ? 2 : 1);
  unsigned value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || value == 0 || value > 0x7f) return malformed("a character reference");
  return static_cast<char>(value);
}

Result<JsonString> text_of(std::string_view raw) {
  JsonString out;
  out.reserve(raw.size());
  while (!raw.empty()) {
    auto plain = raw.substr(0, raw.find('&'));
    out += plain;
    raw.remove_prefix(plain.size());
    if (raw.empty()) break;
    auto end = raw.find(';');
    if (end > kMaxReference) return malformed("an open reference");  // npos included
    out += TRY(resolve(raw.substr(1, end - 1)));
    raw.remove_prefix(end + 1);
  }
  return out;
}

class Walk {
 public:
  Walk(std::string_view rest, const XmlLeaf& leaf) : rest_(rest), leaf_(leaf) {}

  Status run() {
    TRY(skip_declaration());
    do {
      auto text = rest_.substr(0, rest_.find('<'));
      rest_.remove_prefix(text.size());
      auto tag = TRY(take_tag());
      TRY(tag.starts_with('/') ? close(tag.substr(1), text) : open(tag, text));
    } while (!ends_.empty());
    return is_space(rest_) ? Status() : malformed("something follows the document");
  }

 private:
  Status skip_declaration() {
    if (!rest_.starts_with("<?xml ")) return {};
    auto end = rest_.find("?>");
    if (end == rest_.npos) return malformed("an open declaration");
    rest_.remove_prefix(end + 2);
    return {};
  }

  // What stands between < and >. No '>' is taken inside an attribute: STS has none there.
  Result<std::string_view> take_tag() {
    auto end = rest_.find('>');
    if (end == rest_.npos) return malformed("it ends too early");
    auto tag = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    if (tag.find('<') != tag.npos) return malformed("a tag in a tag");
    return tag;
  }

  Status open(std::string_view tag, std::string_view before) {
    if (!is_space(before)) return malformed("text beside elements");
    bool empty = tag.ends_with('/');
    if (empty) tag.remove_suffix(1);
    auto name = tag.substr(0, tag.find_first_of(kSpace));
    if (!is_name(name)) return malformed("not an element");
    if (ends_.size() == kMaxXmlDepth) return malformed("too deep");
    if (++elements_ > kMaxXmlElements) return malformed("too many elements");
    if (!path_.empty()) path_ += '/';
    ends_.push_back(path_.size());
    path_ += name;
    has_children_ = false;
    return empty ? close(name, "") : Status();
  }

  Status close(std::string_view name, std::string_view text) {
    if (ends_.empty() || std::string_view(path_).substr(ends_.back()) != name)
      return malformed("elements that overlap");
    if (has_children_ && !is_space(text)) return malformed("text beside elements");
    if (!has_children_) leaf_(path_, TRY(text_of(text)));
    path_.resize(ends_.back() == 0 ? 0 : ends_.back() - 1);
    ends_.pop_back();
    has_children_ = true;
    return {};
  }

  std::string_view rest_;
  const XmlLeaf& leaf_;
  std::string path_;
  std::vector<std::size_t> ends_;  // where each open element's name begins in path_
  std::size_t elements_ = 0;
  bool has_children_ = false;  // of the innermost open element
};

// A member that must be there once.
class Member {
 public:
  explicit Member(std::string path) : path_(std::move(path)) {}
  void offer(std::string_view path, std::string_view text) {
    if (path != path_) return;
    ++seen_;
    text_ = text;
  }
  Result<std::string_view> get() const {
    auto name = std::string_view(path_).substr(path_.rfind('/') + 1);
    if (seen_ != 1 || text_.empty())
      return fail(ErrorKind::corrupt, "{} is {}", name, seen_ > 1 ? "there twice" : "missing");
    return std::string_view(text_);
  }

 private:
  std::string path_;
  JsonString text_;
  int seen_ = 0;
};

bool is_key_id(std::string_view text) {
  return text.size() >= kMinKeyId && text.size() <= kMaxKeyId && is_name(text.substr(0, kMaxXmlName)) &&
         (text.size() <= kMaxXmlName || is_name(text.substr(kMaxXmlName)));
}

bool is_token(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

Status visit_xml(std::string_view xml, const XmlLeaf& leaf) {
  if (is_space(xml)) return malformed("nothing there");
  return Walk(xml, leaf).run();
}

Result<Credentials> parse_sts_credentials(std::string_view operation, std::string_view xml) {
  auto member = [&](std::string_view name) {
    return Member(fmt::format("{0}Response/{0}Result/Credentials/{1}", operation, name));
  };
  Member members[] = {member("AccessKeyId"), member("SecretAccessKey"), member("SessionToken"),
                      member("Expiration")};
  TRY(visit_xml(xml, [&](auto path, auto text) {
    for (auto& each : members) each.offer(path, text);
  }));
  auto id = TRY(members[0].get());
  auto secret = TRY(members[1].get());
  auto token = TRY(members[2].get());
  if (!is_key_id(id) || !is_token(secret) || !is_token(token))
    return fail(ErrorKind::corrupt, "malformed credentials");
  auto expires = parse_iso_time(TRY(members[3].get()));
  if (!expires) return fail(ErrorKind::corrupt, "Expiration: {}", expires.error().message());
  return Credentials{std::string(id), Secret(as_bytes(secret)), Secret(as_bytes(token)), *expires};
}

Result<std::string> parse_caller_arn(std::string_view xml) {
  Member arn("GetCallerIdentityResponse/GetCallerIdentityResult/Arn");
  TRY(visit_xml(xml, [&](auto path, auto text) { arn.offer(path, text); }));
  return std::string(TRY(arn.get()));
}

ServiceError parse_sts_error(const http::Response& response) {
  ServiceError out{.status = response.status, .type = {}, .message = {}};
  Member code("ErrorResponse/Error/Code");
  Member message("ErrorResponse/Error/Message");
  auto read = visit_xml(response.body, [&](auto path, auto text) {
    code.offer(path, text);
    message.offer(path, text);
  });
  if (!read) return out;
  if (auto text = code.get(); text && is_name(*text)) out.type = *text;
  if (auto text = message.get()) out.message = escape_controls(text->substr(0, kMaxMessageBytes));
  return out;
}

}  // namespace cloister::kms
