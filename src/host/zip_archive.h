// A zip archive as the old sample made them (PKWARE's APPNOTE 6.3: stored and deflated members), read
// strictly: one that two programs could read differently is refused. On the owner's machine only.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "package/sink.h"
#include "package/tar.h"
#include "sys/fd.h"

namespace cloister::host {

// Without zip64, which the sample could not read back either, all sizes are below 4 GiB and members below
// 65535.
inline constexpr std::size_t kMaxZipDirectory = 64 * 1024 * 1024;         // bytes of the central directory
inline constexpr std::uint64_t kMaxZipContent = std::uint64_t{16} << 30;  // bytes unpacked, all members
inline constexpr std::uint64_t kFreeZipContent = std::uint64_t{256}
                                                 << 20;  // bytes for which no ratio is asked
inline constexpr std::uint64_t kMaxZipRatio = 200;       // unpacked bytes to the archive's, beyond those

// "a" < "a/x" < "a.txt": the order in which a directory tree is walked.
struct TreeOrder {
  bool operator()(std::string_view a, std::string_view b) const;
};

struct ZipMember {
  package::TarType type = package::TarType::file;  // or directory
  std::uint32_t mode = 0;                          // permission bits
  std::uint64_t mtime = 0;  // seconds since 1970, the archive's local time taken as UTC
  bool deflated = false;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0;  // bytes in the archive
  std::uint64_t size = 0;    // bytes unpacked
  std::uint64_t data_at = 0;
};

// Not thread-safe.
class ZipArchive {
 public:
  using Members = std::map<std::string, ZipMember, TreeOrder>;

  // Reads all but the contents. Members must fill the file from its first byte to the central directory,
  // which ends it: so nothing overlaps, nothing hides, and both descriptions of each member agree.
  // Directories that only members' names tell of are added. corrupt, invalid, exhausted: what it refuses, by
  // name.
  static Result<ZipArchive> open(sys::Fd file);

  const Members& members() const { return members_; }

  // The content of a file: exactly member.size bytes, or an error. corrupt: wrong checksum, or another size.
  Status extract(const std::string& path, const package::Sink& sink) const;

 private:
  explicit ZipArchive(sys::Fd file) : file_(std::move(file)) {}

  sys::Fd file_;
  Members members_;
};

}  // namespace cloister::host
