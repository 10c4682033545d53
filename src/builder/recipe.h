// A recipe: what an enclave image is made of (docs/formats/recipe.md). The only code of this room that sees
// YAML.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "image/eif_format.h"

namespace cloister::builder {

inline constexpr std::size_t kMaxRecipe = 256 * 1024;  // bytes

// Debian packages, with what they depend on.
struct DebianBase {
  std::string suite;     // "bookworm"
  std::string snapshot;  // "20260901T000000Z"; empty: what the mirror has today
  std::vector<std::string> packages;
};
struct DirectoryBase {
  std::string path;
};
struct OciBase {
  std::string path;  // a layout's folder, or a tar of one, or docker's
};
using Base = std::variant<std::monostate, DebianBase, DirectoryBase, OciBase>;  // monostate: supervisor only

struct CopiedFile {
  std::string from;              // on this machine
  std::string to;                // in the image, without its first slash
  std::optional<unsigned> mode;  // of a file; default 0755 where its owner may run it, else 0644
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

enum class Mode : std::uint8_t { emulated, production };
std::string_view to_string(Mode mode);

struct Recipe {
  std::string name;
  std::string version;
  image::Architecture architecture = image::Architecture::x86_64;
  Mode mode = Mode::production;
  Base base;
  std::string pip;  // a requirements file; empty: none
  bool pip_unpinned = false;
  std::vector<std::string> without;  // paths of the base and of pip that the image does not get
  std::vector<CopiedFile> files;
  std::map<std::string, std::string> environment;
  std::string trust;             // a trust file; empty: composed from the mode
  std::string kms_ca;            // PEM file; empty: the system's authorities, or --kms-ca
  std::string kernel;            // a kernel's file; empty: Cloister's own
  std::string command_line;      // appended to the kernel's command line
  std::uint64_t memory_mib = 0;  // 0: what the root file system needs
  std::uint32_t cpus = 2;
};

// Reads a recipe. Paths in what comes back are absolute, or below the recipe's folder.
// invalid: "line 7: unknown member 'package'", and the like.
Result<Recipe> load_recipe(const std::string& path);

}  // namespace cloister::builder
