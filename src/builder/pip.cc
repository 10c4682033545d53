#include <array>
#include <charconv>

#include "builder/sources.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

constexpr std::size_t kMaxRequirements = 1024 * 1024;  // bytes
constexpr int kMaxPythonMinor = 99;
// Wheels say which C library they need at least. Debian 12 has glibc 2.36; 2.17 is the oldest that wheels are
// for.
constexpr int kOldestGlibc = 17;
constexpr int kNewestGlibc = 36;

// "3.11", from /usr/bin/python3.11 of the tree.
Result<std::string> python_of(const image::FileTree& tree) {
  for (int minor = kMaxPythonMinor; minor > 0; --minor) {
    if (tree.find(fmt::format("usr/bin/python3.{}", minor)) != nullptr) return fmt::format("3.{}", minor);
  }
  Error missing(ErrorKind::invalid, "pip: there is no /usr/bin/python3.X in the root file system");
  return std::unexpected(std::move(missing).with_hint("add python3 to the base's packages"));
}

// The logical lines of a requirements file: comments gone, continued lines joined
// (https://pip.pypa.io/en/stable/reference/requirements-file-format/).
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> out(1);
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    auto comment = line.starts_with('#') ? 0 : line.find(" #");
    line = line.substr(0, comment);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t'))
      line.remove_suffix(1);
    bool continued = line.ends_with('\\');
    if (continued) line.remove_suffix(1);
    out.back() += line;
    if (!continued) out.emplace_back();
  }
  return out;
}

Status check_pinned(const std::string& path) {
  auto bytes = TRY(sys::read_file(path, kMaxRequirements));
  for (const auto& line : logical_lines(as_text(bytes))) {
    auto start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line[start] == '-' || line.find("--hash=sha256:") != std::string::npos)
      continue;
    auto name = line.substr(start, line.find_first_of(" \t;", start) - start);
    Error loose(ErrorKind::denied, fmt::format("{}: '{}' has no --hash=sha256:…", path, name));
    return std::unexpected(std::move(loose).with_hint(
        "pip-compile --generate-hashes writes them (or say pip_unpinned: true, and give up the same bytes)"));
  }
  return {};
}

std::vector<std::string> platforms(image::Architecture architecture) {
  const char* machine = architecture == image::Architecture::arm64 ? "aarch64" : "x86_64";
  std::vector<std::string> out;
  for (int glibc = kNewestGlibc; glibc >= kOldestGlibc; --glibc)
    out.push_back(fmt::format("manylinux_2_{}_{}", glibc, machine));
  out.push_back(fmt::format("manylinux2014_{}", machine));
  if (architecture == image::Architecture::x86_64) {
    out.emplace_back("manylinux2010_x86_64");
    out.emplace_back("manylinux1_x86_64");
  }
  out.push_back(fmt::format("linux_{}", machine));
  return out;
}

Program pip(const Recipe& recipe, const std::string& python, const WorkFolder& work) {
  std::vector<std::string> words = {"/usr/bin/python3",
                                    "-m",
                                    "pip",
                                    "install",
                                    "--quiet",
                                    "--no-compile",
                                    "--no-warn-script-location",
                                    "--disable-pip-version-check",
                                    "--only-binary=:all:",
                                    "--implementation=cp",
                                    "--python-version=" + python,
                                    "--target=" + work.below("wheels"),
                                    "--requirement=" + recipe.pip};
  for (const auto& platform : platforms(recipe.architecture)) words.push_back("--platform=" + platform);
  if (!recipe.pip_unpinned) words.emplace_back("--require-hashes");
  return {.words = std::move(words),
          .changed = {{"SOURCE_DATE_EPOCH", "315532800"}, {"PYTHONHASHSEED", "0"}, {"TMPDIR", work.path()}},
          .log = work.below("pip.log"),
          .hint = "apt-get install python3-pip"};
}

}  // namespace

Status apply_pip(const Recipe& recipe, const WorkFolder& work, const Say& say, image::FileTree& tree,
                 image::Spool& spool) {
  if (!recipe.pip_unpinned) TRY(check_pinned(recipe.pip));
  auto python = TRY(python_of(tree));
  say(fmt::format("wheels for Python {}", python));
  TRY(run_program(pip(recipe, python, work)));
  image::FileTree wheels;
  TRY(apply_directory(work.below("wheels"), wheels, spool));
  auto place = fmt::format("usr/local/lib/python{}/dist-packages", python);
  TRY(tree.put(place, image::directory_node()));
  for (const auto& [path, node] : wheels.entries()) {
    if (left_out("/" + path)) continue;
    auto kept = node;
    TRY(tree.put(fmt::format("{}/{}", place, path), std::move(kept)));
  }
  return {};
}

}  // namespace cloister::builder
