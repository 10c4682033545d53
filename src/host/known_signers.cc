#include "host/known_signers.h"

#include <algorithm>
#include <sstream>

#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr std::size_t kGroup = 4;  // digits

Status check_name(std::string_view name) {
  bool characters = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '@' || c == '-';
  });
  if (name.empty() || name.size() > kMaxSignerName || !characters) {
    return fail(ErrorKind::invalid, "signer name '{}' is not 1 to {} of A-Z, a-z, 0-9, . _ @ -", name,
                kMaxSignerName);
  }
  return {};
}

Status parse_line(KnownSigners& signers, const std::string& line) {
  std::istringstream fields(line);
  std::string name;
  std::string fingerprint;
  std::string rest;
  fields >> name >> fingerprint;
  if (name.empty() || name.front() == '#') return {};
  if (fingerprint.empty()) return fail(ErrorKind::corrupt, "'{}' has no fingerprint", name);
  if (fields >> rest) return fail(ErrorKind::corrupt, "more than a name and a fingerprint");
  return signers.add(name, TRY(parse_fingerprint(fingerprint)));
}

}  // namespace

Result<crypto::Sha256> parse_fingerprint(std::string_view text) {
  if (text.starts_with("SHA256:")) text.remove_prefix(7);
  std::string digits;
  for (char c : text) {
    if (c != ' ' && c != ':') digits.push_back(c);
  }
  auto raw = from_hex(digits);
  crypto::Sha256 out{};
  if (!raw || raw->size() != out.size())
    return fail(ErrorKind::invalid, "'{}' is not a fingerprint of 64 hexadecimal digits", text);
  std::copy(raw->begin(), raw->end(), out.begin());
  return out;
}

std::string readable_fingerprint(const crypto::Sha256& fingerprint) {
  auto digits = to_hex(fingerprint);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += kGroup) {
    if (i > 0) out += ' ';
    out += digits.substr(i, kGroup);
  }
  return out;
}

Result<KnownSigners> KnownSigners::load(const std::string& path) {
  KnownSigners out;
  auto bytes = sys::read_file(path, kMaxKnownSignersFile);
  if (!bytes && bytes.error().kind() == ErrorKind::not_found) return out;
  auto content = TRY(std::move(bytes));
  std::istringstream lines{std::string(as_text(content))};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number)
    TRY(parse_line(out, line)
            .context(fmt::format("{}:{}", path, number))
            .with_hint("each line is NAME FINGERPRINT; mend or remove that line"));
  return out;
}

Status KnownSigners::save(const std::string& path) const {
  std::string text =
      "# Whose packages may run here: a name and the SHA-256 fingerprint of the signing key. See cloister "
      "signer --help.\n";
  for (const auto& signer : signers_) text += fmt::format("{} {}\n", signer.name, to_hex(signer.fingerprint));
  TRY(sys::make_directories(path.substr(0, path.rfind('/')), 0700));
  return sys::write_file_atomic(path, as_bytes(text), 0600);
}

std::optional<KnownSigner> KnownSigners::find(const crypto::Sha256& fingerprint) const {
  auto at = std::find_if(signers_.begin(), signers_.end(),
                         [&](const auto& s) { return s.fingerprint == fingerprint; });
  if (at == signers_.end()) return std::nullopt;
  return *at;
}

Result<crypto::Sha256> KnownSigners::resolve(std::string_view name_or_fingerprint) const {
  for (const auto& signer : signers_) {
    if (signer.name == name_or_fingerprint) return signer.fingerprint;
  }
  return parse_fingerprint(name_or_fingerprint);
}

Status KnownSigners::add(const std::string& name, const crypto::Sha256& fingerprint) {
  TRY(check_name(name));
  for (const auto& signer : signers_) {
    if (signer.fingerprint == fingerprint)
      return fail(ErrorKind::invalid, "this fingerprint is known already, as '{}'", signer.name);
    if (signer.name == name) return fail(ErrorKind::invalid, "a signer named '{}' is known already", name);
  }
  signers_.push_back({name, fingerprint});
  return {};
}

Status KnownSigners::remove(std::string_view name_or_fingerprint) {
  auto fingerprint = parse_fingerprint(name_or_fingerprint);
  auto gone = std::erase_if(signers_, [&](const auto& signer) {
    return signer.name == name_or_fingerprint || (fingerprint && signer.fingerprint == *fingerprint);
  });
  if (gone == 0) return fail(ErrorKind::not_found, "no known signer '{}'", name_or_fingerprint);
  return {};
}

}  // namespace cloister::host
