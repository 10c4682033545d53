// The tar dialect of packages: POSIX.1-2017 pax interchange, reduced to files, directories and symbolic
// links, and to the pax records path, linkpath and size. Both directions of one entry's blocks;
// docs/formats/package.md, section "Content".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cloister::package {

inline constexpr std::size_t kTarBlock = 512;                         // bytes
inline constexpr std::size_t kMaxTarPath = 4000;                      // bytes; leaves room below PATH_MAX
inline constexpr std::size_t kMaxTarDepth = 64;                       // components of a path
inline constexpr std::size_t kMaxPaxHeader = 16 * 1024;               // bytes
inline constexpr std::uint64_t kMaxTarFile = std::uint64_t{1} << 50;  // bytes
inline constexpr std::uint64_t kMaxTarMtime = 077777777777;           // seconds: what fits in the field
inline constexpr std::string_view kReservedDirectory = ".cloister";
inline constexpr std::string_view kManifestPath = ".cloister/manifest";

enum class TarType : char { file = '0', symlink = '2', directory = '5', pax = 'x' };

struct TarEntry {
  TarType type = TarType::file;
  std::string path;         // relative, no trailing slash
  std::string link;         // symlinks: the target
  std::uint64_t size = 0;   // files: bytes of content that follow
  std::uint32_t mode = 0;   // permission bits only
  std::uint64_t mtime = 0;  // seconds since 1970
  bool operator==(const TarEntry&) const = default;
};

// A pax block where it is needed, then the header block. The content and its padding follow.
Bytes encode_tar_entry(const TarEntry& entry);
std::size_t tar_padding(std::uint64_t size);

// What a pax extended header says about the entry that follows it.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<std::uint64_t> size;
};
// corrupt: malformed records, the same key twice, any other key (extended attributes among them).
Result<PaxRecords> parse_pax(ByteView bytes);

// One header block. For TarType::pax only size is meaningful. corrupt: wrong checksum, unknown type, fields
// not as the writer writes them; invalid: modes beyond 0777, paths and links that check_* below refuse.
Result<TarEntry> parse_tar_block(ByteView block, const PaxRecords& overrides);

// Relative, checked components, at most kMaxTarDepth of them and kMaxTarPath bytes.
Status check_tar_path(std::string_view path);
// A link may go up only at its beginning and never above the root; then it names things below. So no chain of
// such links can leave the tree, wherever each leads. `path` is where the link stands.
Status check_link_target(std::string_view path, std::string_view target);

}  // namespace cloister::package
