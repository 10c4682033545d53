// What a manifest may say, and whether it lets an entry point run. The encoding is in manifest.cc.
#include <algorithm>
#include <charconv>
#include <set>

#include "codec/cbor.h"
#include "package/manifest.h"
#include "sys/dir.h"

namespace cloister::package {

namespace {

constexpr std::string_view kPackages =
    "encrypted";  // the share's directory of packages is never an application's to read

constexpr const char* kPath = "PATH";

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

Status check_host(std::string_view host) {
  bool good = !host.empty() && host.size() <= kMaxHost && std::ranges::all_of(host, is_host_char) &&
              host.front() != '.' && host.front() != '-' && host.find("..") == std::string_view::npos;
  if (good) return {};
  return fail(ErrorKind::invalid, "'{}' is not a lowercase host name or IPv4 address", host);
}

Status check_text(std::string_view text, std::string_view what) {
  if (codec::is_utf8(as_bytes(text))) return {};
  return fail(ErrorKind::invalid, "{} is not UTF-8", what);
}

Status check_distinct(std::vector<std::string> texts, std::string_view what) {
  std::ranges::sort(texts);
  auto twice = std::ranges::adjacent_find(texts);
  if (twice == texts.end()) return {};
  return fail(ErrorKind::invalid, "{}: '{}' stands there twice", what, *twice);
}

Status check_directories(const std::vector<std::string>& names, std::string_view what) {
  if (names.size() > kMaxShareDirectories) {
    return fail(ErrorKind::invalid, "{}: more than {} directories", what, kMaxShareDirectories);
  }
  for (const auto& name : names) {
    TRY(check_text(name, what));
    TRY(sys::check_component(name).context(what));
    if (name == kPackages) return fail(ErrorKind::invalid, "{}: '{}' belongs to Cloister", what, name);
  }
  return check_distinct(names, what);
}

Status check_limit(std::uint32_t value, std::uint32_t max, std::string_view what) {
  if (value >= 1 && value <= max) return {};
  return fail(ErrorKind::invalid, "limits: {} is {} (1 to {} allowed)", what, value, max);
}

Status check_limits(const Limits& limits) {
  TRY(check_limit(limits.memory_mib, kMaxMemoryMib, "memory_mib"));
  TRY(check_limit(limits.processes, kMaxProcesses, "processes"));
  TRY(check_limit(limits.seconds, kMaxSeconds, "seconds"));
  return check_limit(limits.package_mib, kMaxPackageMib, "package_mib");
}

Status check_egress(const std::vector<Destination>& egress) {
  if (egress.size() > kMaxDestinations)
    return fail(ErrorKind::invalid, "egress: more than {} destinations", kMaxDestinations);
  std::vector<std::string> texts;
  for (const auto& destination : egress) {
    TRY(check_host(destination.host).context("egress"));
    if (destination.port == 0) return fail(ErrorKind::invalid, "egress: port 0");
    texts.push_back(destination.to_string());
  }
  return check_distinct(std::move(texts), "egress");
}

Status check_terms(const Terms& terms) {
  if (terms.reads) TRY(check_directories(*terms.reads, "reads"));
  TRY(check_directories(terms.writes, "writes"));
  TRY(check_limits(terms.limits));
  TRY(check_egress(terms.egress));
  if (terms.diagnostics && !terms.owner_key) {
    return fail(ErrorKind::invalid, "diagnostics without the owner's key to seal them to");
  }
  return {};
}

Status check_entry_names(const std::vector<std::string>& names) {
  if (names.size() > kMaxEntryPoints)
    return fail(ErrorKind::invalid, "more than {} entry points", kMaxEntryPoints);
  for (const auto& name : names) {
    if (name.size() > kMaxEntryName)
      return fail(ErrorKind::invalid, "an entry point's name longer than {} bytes", kMaxEntryName);
    TRY(check_text(name, "entry point"));
    TRY(sys::split_relative(name).context("entry point"));
  }
  return check_distinct(names, "entry points");
}

Status check_policy(const ArgumentPolicy& policy) {
  if (policy.patterns.size() > kMaxPatterns)
    return fail(ErrorKind::invalid, "more than {} argument patterns", kMaxPatterns);
  if (policy.max_count > kMaxArguments)
    return fail(ErrorKind::invalid, "more than {} arguments", kMaxArguments);
  for (const auto& pattern : policy.patterns) {
    if (pattern.size() > kMaxPattern)
      return fail(ErrorKind::invalid, "an argument pattern longer than {} bytes", kMaxPattern);
    TRY(check_text(pattern, "an argument pattern"));
  }
  return {};
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

Status check_variable(const std::string& name, const std::string& value) {
  bool good = !name.empty() && name.size() <= kMaxVariableName && std::ranges::all_of(name, is_name_char) &&
              (name.front() < '0' || name.front() > '9');
  if (!good) {
    return fail(ErrorKind::invalid, "'{}' is not a variable's name (letters, digits and _, at most {})", name,
                kMaxVariableName);
  }
  if (name != kPath && base_environment().contains(name))
    return fail(ErrorKind::invalid, "Cloister itself sets {}", name);
  if (value.size() > kMaxVariableValue)
    return fail(ErrorKind::invalid, "{} is longer than {} bytes", name, kMaxVariableValue);
  if (value.find('\0') != std::string::npos) return fail(ErrorKind::invalid, "{} holds a NUL", name);
  return check_text(value, name);
}

// An empty directory in PATH would be the working directory: say it if you mean it.
Status check_path(std::string_view path) {
  for (std::string_view rest = path;;) {
    auto end = rest.find(':');
    auto directory = rest.substr(0, end);
    if (!directory.starts_with('/')) {
      return fail(ErrorKind::invalid, "PATH: '{}' does not begin with / (the package is at /app)", directory);
    }
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
}

Status check_environment(const Environment& environment) {
  if (environment.size() > kMaxVariables)
    return fail(ErrorKind::invalid, "more than {} variables", kMaxVariables);
  for (const auto& [name, value] : environment) {
    TRY(check_variable(name, value));
    if (name == kPath) TRY(check_path(value));
  }
  return {};
}

// '*' is any run of bytes. Going back to the last star only is enough, so the cost is pattern times text at
// most.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t at = 0;
  std::size_t taken = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (taken < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      resume = taken;
    } else if (at < pattern.size() && pattern[at] == text[taken]) {
      ++at;
      ++taken;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      taken = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace

Result<Destination> Destination::parse(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail(ErrorKind::invalid, "'{}' is not HOST:PORT", text);
  Destination out{.host = std::string(text.substr(0, colon)), .port = 0};
  TRY(check_host(out.host));
  auto digits = text.substr(colon + 1);
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || out.port == 0) {
    return fail(ErrorKind::invalid, "'{}' has no port from 1 to 65535", text);
  }
  return out;
}

std::string Destination::to_string() const {
  return fmt::format("{}:{}", host, port);
}

bool ArgumentPolicy::allows(std::span<const std::string> arguments) const {
  if (arguments.size() > max_count) return false;
  return std::ranges::all_of(arguments, [&](const std::string& argument) {
    return std::ranges::any_of(patterns,
                               [&](const std::string& pattern) { return matches(pattern, argument); });
  });
}

Status PublicManifest::check() const {
  TRY(check_terms(terms));
  return entries ? check_entry_names(*entries) : Status{};
}

Status Manifest::check() const {
  TRY(check_terms(terms));
  std::vector<std::string> names;
  for (const auto& entry : entries) {
    names.push_back(entry.name);
    if (entry.arguments) TRY(check_policy(*entry.arguments).context(entry.name));
  }
  TRY(check_entry_names(names));
  TRY(check_environment(environment).context("environment"));
  if (encode().size() > kMaxManifest) return fail(ErrorKind::invalid, "larger than {} bytes", kMaxManifest);
  if (public_part().encode().size() > kMaxPublicManifest) {
    return fail(ErrorKind::invalid, "its public part is larger than {} bytes", kMaxPublicManifest);
  }
  return {};
}

const Environment& base_environment() {
  static const Environment kBase{{"HOME", "/tmp"},
                                 {"LANG", "C.UTF-8"},
                                 {kPath, "/usr/local/bin:/usr/bin:/bin"},
                                 {"TMPDIR", "/tmp"},
                                 {"USER", "job"}};
  return kBase;
}

std::vector<std::string> Manifest::job_environment(const Environment& of_image) const {
  auto variables = base_environment();
  for (const auto& [name, value] : of_image) variables[name] = value;
  for (const auto& [name, value] : environment) {
    auto& variable = variables[name];
    variable = name == kPath ? fmt::format("{}:{}", value, variable) : value;
  }
  std::vector<std::string> out;
  for (const auto& [name, value] : variables) out.push_back(fmt::format("{}={}", name, value));
  return out;
}

Status Manifest::check_run(std::string_view entry, std::span<const std::string> arguments) const {
  if (entries.empty()) return {};
  auto found = std::ranges::find(entries, entry, &EntryPoint::name);
  if (found == entries.end())
    return fail(ErrorKind::denied, "'{}' is not an entry point of the package", entry);
  const auto& policy = found->arguments;
  if (!policy || policy->allows(arguments)) return {};
  return fail(ErrorKind::denied, "'{}' does not take these arguments", entry);
}

}  // namespace cloister::package
