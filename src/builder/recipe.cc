#include "builder/recipe.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>

#include "image/tree.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

using Setter = std::function<Status(const YAML::Node&)>;
using Schema = std::map<std::string, Setter>;

constexpr std::size_t kMaxPackages = 1000;
constexpr std::size_t kMaxFiles = 1000;
constexpr std::size_t kMaxVariables = 1000;
constexpr std::uint64_t kMaxMemoryMib = 1 << 20;
constexpr std::uint32_t kMaxCpus = 1024;
constexpr std::size_t kMaxName = 64;          // bytes of name and version
constexpr std::size_t kMaxAddedWords = 1024;  // bytes appended to the kernel's command line
constexpr std::uint32_t kMaxId = 65534;

// The error as one that names the line (counted from 1) where the node begins.
std::unexpected<Error> at_line(const YAML::Mark& mark, const Error& error) {
  Error out(error.kind(), fmt::format("line {}: {}", mark.line + 1, error.message()));
  if (!error.hint().empty()) return std::unexpected(std::move(out).with_hint(error.hint()));
  return std::unexpected(std::move(out));
}

std::unexpected<Error> wrong(const YAML::Node& node, const std::string& message) {
  return at_line(node.Mark(), Error(ErrorKind::invalid, message));
}

bool only_of(std::string_view text, std::string_view beside) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           beside.find(c) != std::string_view::npos;
  });
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Result<std::string> text_of(const YAML::Node& node) {
  if (!node.IsScalar()) return wrong(node, "a single value is wanted");
  if (has_control_characters(node.Scalar())) return wrong(node, "control characters in a value");
  return node.Scalar();
}

Result<std::uint64_t> number_of(const YAML::Node& node, std::uint64_t max) {
  auto text = TRY(text_of(node));
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > max)
    return wrong(node, fmt::format("'{}' is not a whole number from 1 to {}", text, max));
  return value;
}

// Every member by its setter. Unknown and repeated ones are refused with their line.
Status read_mapping(const YAML::Node& node, const Schema& schema,
                    std::initializer_list<const char*> needed = {}) {
  if (!node.IsMap()) return wrong(node, "members (name: value) are wanted");
  std::map<std::string, int> seen;
  for (const auto& entry : node) {
    auto key = TRY(text_of(entry.first));
    auto setter = schema.find(key);
    if (setter == schema.end()) return wrong(entry.first, fmt::format("unknown member '{}'", key));
    if (++seen[key] > 1) return wrong(entry.first, fmt::format("'{}' stands there twice", key));
    TRY(setter->second(entry.second));
  }
  for (const char* name : needed) {
    if (!seen.contains(name)) return wrong(node, fmt::format("'{}' is missing", name));
  }
  return {};
}

class RecipeReader {
 public:
  explicit RecipeReader(std::string folder) : folder_(std::move(folder)) {}
  Result<Recipe> read(const YAML::Node& root);

 private:
  Result<std::string> path_of(const YAML::Node& node) const;
  Setter into(std::string& target, Result<std::string> (*parse)(const YAML::Node&)) const;
  Setter path_into(std::string& target) const;
  Status read_base(const YAML::Node& node);
  Status read_debian(const YAML::Node& node);
  Status read_files(const YAML::Node& node);
  Result<CopiedFile> read_file(const YAML::Node& node) const;
  Status read_without(const YAML::Node& node);
  Status read_environment(const YAML::Node& node);
  std::string folder_;  // absolute
  Recipe out_;
};

// A relative path stays in the recipe's folder, links included: what is built follows from that folder and
// from what the recipe says in plain words.
Result<std::string> RecipeReader::path_of(const YAML::Node& node) const {
  auto text = TRY(text_of(node));
  if (text.empty()) return wrong(node, "an empty path");
  std::error_code error;
  if (text.starts_with('/')) {
    if (!std::filesystem::exists(text, error)) return wrong(node, fmt::format("there is no {}", text));
    return text;
  }
  auto real = std::filesystem::canonical(folder_ + "/" + text, error);
  if (error) return wrong(node, fmt::format("there is no {} in the recipe's folder", text));
  auto inside = folder_ == "/" ? folder_ : folder_ + "/";
  if (real.string() != folder_ && !real.string().starts_with(inside))
    return wrong(
        node,
        fmt::format("{} leads out of the recipe's folder: write an absolute path if you mean it", text));
  return real.string();
}

Setter RecipeReader::path_into(std::string& target) const {
  return [this, &target](const YAML::Node& node) -> Status {
    target = TRY(path_of(node));
    return {};
  };
}

Setter RecipeReader::into(std::string& target, Result<std::string> (*parse)(const YAML::Node&)) const {
  return [&target, parse](const YAML::Node& node) -> Status {
    target = TRY(parse(node));
    return {};
  };
}

Result<std::string> short_name(const YAML::Node& node) {
  auto text = TRY(text_of(node));
  if (text.empty() || text.size() > kMaxName || !only_of(text, "._-+"))
    return wrong(node,
                 fmt::format("'{}' is not 1 to {} letters, digits, '.', '_', '-' or '+'", text, kMaxName));
  return text;
}

Result<std::string> suite_name(const YAML::Node& node) {
  auto text = TRY(text_of(node));
  if (text.empty() || text.size() > kMaxName || !only_of(text, "-") || text.starts_with('-'))
    return wrong(node, fmt::format("'{}' is not a name of a Debian release, such as bookworm", text));
  return text;
}

// Snapshots are named by the second that they were taken at: https://snapshot.debian.org/
Result<std::string> snapshot_time(const YAML::Node& node) {
  constexpr std::string_view kShape = "00000000T000000Z";
  auto text = TRY(text_of(node));
  bool fits = text.size() == kShape.size();
  for (std::size_t i = 0; fits && i < text.size(); ++i)
    fits = kShape[i] == '0' ? (text[i] >= '0' && text[i] <= '9') : text[i] == kShape[i];
  if (!fits) return wrong(node, fmt::format("'{}' is not a snapshot's time, such as 20260901T000000Z", text));
  return text;
}

Result<std::string> added_words(const YAML::Node& node) {
  auto text = TRY(text_of(node));
  if (text.size() > kMaxAddedWords) return wrong(node, fmt::format("more than {} bytes", kMaxAddedWords));
  return text;
}

Status RecipeReader::read_debian(const YAML::Node& node) {
  DebianBase base;
  auto packages = [&](const YAML::Node& n) -> Status {
    if (!n.IsSequence() || n.size() > kMaxPackages) return wrong(n, "a list of packages is wanted");
    for (const auto& item : n) {
      auto name = TRY(text_of(item));
      // As Debian policy 5.6.7 has them; "name=version" pins one.
      if (name.empty() || !only_of(name, "+-.=:~") || name.starts_with('-'))
        return wrong(item, fmt::format("'{}' is not a package's name", name));
      base.packages.push_back(std::move(name));
    }
    return {};
  };
  TRY(read_mapping(node,
                   {{"debian", into(base.suite, suite_name)},
                    {"snapshot", into(base.snapshot, snapshot_time)},
                    {"packages", packages}},
                   {"debian"}));
  out_.base = std::move(base);
  return {};
}

Status RecipeReader::read_base(const YAML::Node& node) {
  if (node.IsScalar() && node.Scalar() == "none") return {};
  if (!node.IsMap()) return wrong(node, "'none', or one of debian, directory and oci is wanted");
  if (node["debian"]) return read_debian(node);
  std::string directory;
  std::string oci;
  TRY(read_mapping(node, {{"directory", path_into(directory)}, {"oci", path_into(oci)}}));
  if (directory.empty() == oci.empty()) return wrong(node, "one of debian, directory and oci is wanted");
  if (!directory.empty()) {
    out_.base = DirectoryBase{directory};
  } else {
    out_.base = OciBase{oci};
  }
  return {};
}

Result<std::uint32_t> id_of(std::string_view text) {
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxId)
    return fail(ErrorKind::invalid, "'{}' is not a number up to {}", text, kMaxId);
  return value;
}

// "/usr/x" of the image as "usr/x".
Result<std::string> place_of(const YAML::Node& node) {
  auto text = TRY(text_of(node));
  if (!text.starts_with('/')) return wrong(node, fmt::format("'{}' is no absolute path in the image", text));
  auto path = image::normal_path(text.substr(1));
  if (!path) return at_line(node.Mark(), path.error());
  return std::move(*path);
}

Status RecipeReader::read_without(const YAML::Node& node) {
  if (!node.IsSequence() || node.size() > kMaxFiles) return wrong(node, "a list of paths is wanted");
  for (const auto& item : node) out_.without.push_back(TRY(place_of(item)));
  return {};
}

Result<CopiedFile> RecipeReader::read_file(const YAML::Node& node) const {
  CopiedFile file;
  auto to = [&](const YAML::Node& n) -> Status {
    file.to = TRY(place_of(n));
    return {};
  };
  auto mode = [&](const YAML::Node& n) -> Status {
    auto text = TRY(text_of(n));
    unsigned value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
    if (error != std::errc() || end != text.data() + text.size() || value > 0777)
      return wrong(n, fmt::format("'{}' is not a mode from 0 to 0777", text));
    file.mode = value;
    return {};
  };
  auto owner = [&](const YAML::Node& n) -> Status {
    auto text = TRY(text_of(n));
    auto colon = std::min(text.find(':'), text.size());
    auto uid = id_of(std::string_view(text).substr(0, colon));
    auto gid = colon == text.size() ? uid : id_of(std::string_view(text).substr(colon + 1));
    if (!uid || !gid)
      return wrong(n, fmt::format("'{}' is not an owner such as 0:0 (numbers up to {})", text, kMaxId));
    file.uid = *uid;
    file.gid = *gid;
    return {};
  };
  TRY(read_mapping(node, {{"from", path_into(file.from)}, {"to", to}, {"mode", mode}, {"owner", owner}},
                   {"from", "to"}));
  return file;
}

Status RecipeReader::read_files(const YAML::Node& node) {
  if (!node.IsSequence() || node.size() > kMaxFiles) return wrong(node, "a list of files is wanted");
  for (const auto& item : node) out_.files.push_back(TRY(read_file(item)));
  return {};
}

Status RecipeReader::read_environment(const YAML::Node& node) {
  if (!node.IsMap() || node.size() > kMaxVariables) return wrong(node, "variables (NAME: value) are wanted");
  for (const auto& entry : node) {
    auto name = TRY(text_of(entry.first));
    if (name.empty() || !only_of(name, "_") || (name[0] >= '0' && name[0] <= '9'))
      return wrong(entry.first, fmt::format("'{}' is not a variable's name", name));
    auto value = TRY(text_of(entry.second));
    if (!out_.environment.emplace(name, value).second)
      return wrong(entry.first, fmt::format("'{}' stands there twice", name));
  }
  return {};
}

Result<Recipe> RecipeReader::read(const YAML::Node& root) {
  auto architecture = [&](const YAML::Node& n) -> Status {
    auto text = TRY(text_of(n));
    if (text != "x86_64" && text != "arm64")
      return wrong(n, fmt::format("'{}' is neither x86_64 nor arm64", text));
    out_.architecture = text == "arm64" ? image::Architecture::arm64 : image::Architecture::x86_64;
    return {};
  };
  auto mode = [&](const YAML::Node& n) -> Status {
    auto text = TRY(text_of(n));
    if (text != "emulated" && text != "production")
      return wrong(n, fmt::format("'{}' is neither emulated nor production", text));
    out_.mode = text == "emulated" ? Mode::emulated : Mode::production;
    return {};
  };
  auto unpinned = [&](const YAML::Node& n) -> Status {
    auto text = TRY(text_of(n));
    if (text != "true" && text != "false")
      return wrong(n, fmt::format("'{}' is neither true nor false", text));
    out_.pip_unpinned = text == "true";
    return {};
  };
  auto memory = [&](const YAML::Node& n) -> Status {
    out_.memory_mib = TRY(number_of(n, kMaxMemoryMib));
    return {};
  };
  auto cpus = [&](const YAML::Node& n) -> Status {
    out_.cpus = static_cast<std::uint32_t>(TRY(number_of(n, kMaxCpus)));
    return {};
  };
  TRY(read_mapping(root,
                   {{"name", into(out_.name, short_name)},
                    {"version", into(out_.version, short_name)},
                    {"architecture", architecture},
                    {"mode", mode},
                    {"base", [&](const YAML::Node& n) { return read_base(n); }},
                    {"pip", path_into(out_.pip)},
                    {"pip_unpinned", unpinned},
                    {"files", [&](const YAML::Node& n) { return read_files(n); }},
                    {"without", [&](const YAML::Node& n) { return read_without(n); }},
                    {"environment", [&](const YAML::Node& n) { return read_environment(n); }},
                    {"trust", path_into(out_.trust)},
                    {"kms_ca", path_into(out_.kms_ca)},
                    {"kernel", path_into(out_.kernel)},
                    {"command_line", into(out_.command_line, added_words)},
                    {"memory_mib", memory},
                    {"cpus", cpus}},
                   {"name", "version", "base"}));
  bool empty = std::holds_alternative<std::monostate>(out_.base);
  if (empty && (!out_.pip.empty() || !out_.files.empty() || !out_.without.empty()))
    return wrong(root, "a base of none has no pip, files or without: it is the supervisor alone");
  if (!out_.trust.empty() && !out_.kms_ca.empty())
    return wrong(root, "a trust file names its authorities: give trust or kms_ca, not both");
  return std::move(out_);
}

}  // namespace

std::string_view to_string(Mode mode) {
  return mode == Mode::emulated ? "emulated" : "production";
}

Result<Recipe> load_recipe(const std::string& path) {
  auto bytes = TRY(sys::read_file(path, kMaxRecipe));
  std::error_code error;
  auto folder = std::filesystem::canonical(std::filesystem::absolute(path, error).parent_path(), error);
  if (error) return fail(ErrorKind::not_found, "{}: {}", path, error.message());
  try {
    return RecipeReader(folder.string()).read(YAML::Load(std::string(as_text(bytes)))).context(path);
  } catch (const YAML::Exception& problem) {
    return fail(ErrorKind::invalid, "{}: line {}: {}", path, problem.mark.line + 1, problem.msg);
  }
}

}  // namespace cloister::builder
