#include "host/manifest_yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <functional>
#include <map>

#include "crypto/keys.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

using package::Audience;
using package::Manifest;
using Setter = std::function<Status(const YAML::Node&)>;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

Result<std::uint32_t> with_unit(const std::string& text, std::initializer_list<Unit> units,
                                std::string_view example) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& known : units) {
    if (error != std::errc() || unit != known.name || value == 0) continue;
    if (value > UINT32_MAX / known.factor) return fail(ErrorKind::invalid, "'{}' is too large", text);
    return static_cast<std::uint32_t>(value * known.factor);
  }
  return fail(ErrorKind::invalid, "'{}' is not of the form {}", text, example);
}

Result<std::string> scalar(const YAML::Node& node) {
  if (!node.IsScalar()) return fail(ErrorKind::invalid, "not a single value");
  return node.Scalar();
}

Result<std::vector<std::string>> texts(const YAML::Node& node) {
  if (!node.IsSequence()) return fail(ErrorKind::invalid, "not a list");
  std::vector<std::string> out;
  for (const auto& item : node) out.push_back(TRY(scalar(item)));
  return out;
}

Result<std::uint32_t> count(const YAML::Node& node) {
  auto text = TRY(scalar(node));
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(ErrorKind::invalid, "'{}' is not a whole number", text);
  return value;
}

Result<bool> boolean(const YAML::Node& node) {
  auto text = TRY(scalar(node));
  if (text == "true" || text == "yes") return true;
  if (text == "false" || text == "no") return false;
  return fail(ErrorKind::invalid, "'{}' is neither true nor false", text);
}

Result<Audience> audience(const YAML::Node& node) {
  auto text = TRY(scalar(node));
  if (text == "caller") return Audience::caller;
  if (text == "none") return Audience::none;
  return fail(ErrorKind::invalid, "'{}' is neither caller nor none", text);
}

// Every key of a mapping by its setter: a schema that reads as a table. Unknown and repeated keys are
// refused.
Status read_mapping(const YAML::Node& node, const std::map<std::string, Setter>& setters) {
  if (!node.IsMap()) return fail(ErrorKind::invalid, "not a mapping");
  std::map<std::string, int> seen;
  for (const auto& entry : node) {
    auto key = TRY(scalar(entry.first));
    auto setter = setters.find(key);
    if (setter == setters.end()) return fail(ErrorKind::invalid, "unknown key '{}'", key);
    if (++seen[key] > 1) return fail(ErrorKind::invalid, "'{}' stands there twice", key);
    TRY(setter->second(entry.second).context(key));
  }
  return {};
}

template <class T>
Setter into(T& target, Result<T> (*parse)(const YAML::Node&)) {
  return [&target, parse](const YAML::Node& node) -> Status {
    target = TRY(parse(node));
    return {};
  };
}

Status read_limits(const YAML::Node& node, package::Limits& limits) {
  return read_mapping(node, {{"memory",
                              [&](const YAML::Node& n) -> Status {
                                limits.memory_mib = TRY(parse_memory(TRY(scalar(n))));
                                return {};
                              }},
                             {"package",
                              [&](const YAML::Node& n) -> Status {
                                limits.package_mib = TRY(parse_memory(TRY(scalar(n))));
                                return {};
                              }},
                             {"time",
                              [&](const YAML::Node& n) -> Status {
                                limits.seconds = TRY(parse_duration(TRY(scalar(n))));
                                return {};
                              }},
                             {"processes", into(limits.processes, count)}});
}

// An entry point is a name, or a mapping with its argument patterns.
Result<package::EntryPoint> entry_point(const YAML::Node& node) {
  package::EntryPoint out;
  if (node.IsScalar()) {
    out.name = node.Scalar();
    return out;
  }
  package::ArgumentPolicy policy;
  bool restricted = false;
  TRY(read_mapping(node, {{"name",
                           [&](const YAML::Node& n) -> Status {
                             out.name = TRY(scalar(n));
                             return {};
                           }},
                          {"arguments",
                           [&](const YAML::Node& n) -> Status {
                             policy.patterns = TRY(texts(n));
                             restricted = true;
                             return {};
                           }},
                          {"max_arguments", [&](const YAML::Node& n) -> Status {
                             policy.max_count = TRY(count(n));
                             restricted = true;
                             return {};
                           }}}));
  if (restricted) out.arguments = std::move(policy);
  return out;
}

Status read_entry_points(const YAML::Node& node, Manifest& manifest) {
  if (!node.IsSequence()) return fail(ErrorKind::invalid, "not a list");
  for (const auto& item : node) manifest.entries.push_back(TRY(entry_point(item)));
  return {};
}

Status read_egress(const YAML::Node& node, package::Terms& terms) {
  for (const auto& text : TRY(texts(node))) terms.egress.push_back(TRY(package::Destination::parse(text)));
  return {};
}

Status read_owner_key(const YAML::Node& node, package::Terms& terms) {
  auto raw = TRY(from_hex(TRY(scalar(node))));
  ByteArray<32> key;
  if (raw.size() != key.size()) return fail(ErrorKind::invalid, "not 64 hexadecimal digits");
  std::copy(raw.begin(), raw.end(), key.begin());
  terms.owner_key = key;
  return {};
}

Status read_environment(const YAML::Node& node, package::Environment& environment) {
  if (!node.IsMap()) return fail(ErrorKind::invalid, "not a mapping");
  for (const auto& entry : node) {
    auto name = TRY(scalar(entry.first));
    auto value = TRY(scalar(entry.second).context(name));
    if (!environment.emplace(name, std::move(value)).second)
      return fail(ErrorKind::invalid, "'{}' stands there twice", name);
  }
  return {};
}

Result<Manifest> from_node(const YAML::Node& root) {
  Manifest out;
  auto& terms = out.terms;
  TRY(read_mapping(
      root, {{"entry_points", [&](const YAML::Node& n) { return read_entry_points(n, out); }},
             {"entry_points_public", into(out.entries_public, boolean)},
             {"environment", [&](const YAML::Node& n) { return read_environment(n, out.environment); }},
             {"reads",
              [&](const YAML::Node& n) -> Status {
                terms.reads = TRY(texts(n));
                return {};
              }},
             {"writes", into(terms.writes, texts)},
             {"stdout", into(terms.stdout_to, audience)},
             {"stderr", into(terms.stderr_to, audience)},
             {"limits", [&](const YAML::Node& n) { return read_limits(n, terms.limits); }},
             {"egress", [&](const YAML::Node& n) { return read_egress(n, terms); }},
             {"diagnostics", into(terms.diagnostics, boolean)},
             {"owner_key", [&](const YAML::Node& n) { return read_owner_key(n, terms); }}}));
  TRY(out.check());
  return out;
}

}  // namespace

Result<std::uint32_t> parse_memory(const std::string& text) {
  return with_unit(text, {{"MiB", 1}, {"GiB", 1024}}, "512MiB or 2GiB");
}

Result<std::uint32_t> parse_duration(const std::string& text) {
  return with_unit(text, {{"s", 1}, {"min", 60}, {"h", 3600}}, "90s, 10min or 2h");
}

Result<Manifest> manifest_from_yaml(const std::string& text) {
  try {
    return from_node(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    return fail(ErrorKind::invalid, "{}", error.what());
  }
}

Result<std::optional<Manifest>> load_manifest_yaml(const std::string& directory) {
  auto path = fmt::format("{}/{}", directory, kManifestFile);
  auto bytes = sys::read_file(path, kMaxManifestYaml);
  if (!bytes && bytes.error().kind() == ErrorKind::not_found) return std::optional<Manifest>();
  auto text = TRY(std::move(bytes));
  return std::optional<Manifest>(TRY(manifest_from_yaml(std::string(as_text(text))).context(path)));
}

}  // namespace cloister::host
