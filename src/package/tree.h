// A source tree on its way into a package: what is in it, and its tar stream. The walk is by directory
// handles, follows no link, and every size and type comes from the descriptor that is read: a file that
// changes while it is packed is an error with its name.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "package/sink.h"
#include "package/tar.h"
#include "sys/dir.h"

namespace cloister::package {

inline constexpr std::uint64_t kMaxTarEntries = 1'000'000;

inline constexpr std::uint64_t kUnpackPage = 4096;  // bytes

// What a member costs when it is unpacked: its content in whole pages, and one page for whatever has none.
std::uint64_t unpacked_cost(std::uint64_t size);

struct TreeSize {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;     // of regular files
  std::uint64_t unpacked = 0;  // sum of unpacked_cost
};

// Walks the tree and refuses what cannot be packed: devices, sockets, fifos, links that lead out, a top-level
// .cloister, paths too long or too deep. Reads no content.
Result<TreeSize> survey_tree(const sys::Dir& source);

// The bytes of file content written so far.
using TreeProgress = std::function<void(std::uint64_t bytes)>;

// The whole tar stream: the manifest first if there is one, then the tree in order of names (bytewise,
// parents first), then two zero blocks. Owner 0:0, modes & 0777, times in whole seconds. Hard links become
// files of their own, holes become zeros.
Status write_tar(const sys::Dir& source, const std::optional<Bytes>& manifest, const Sink& sink,
                 const TreeProgress& progress = {});

// The pieces of a tar stream beside its members: the manifest as its first, what fills a content's last
// block, the end.
Status write_manifest_member(ByteView manifest, const Sink& sink);
Status write_padding(std::uint64_t size, const Sink& sink);
Status write_tar_end(const Sink& sink);

// What a package is made of. A directory, or whatever else can tell its size and write the same stream twice
// over.
class Source {
 public:
  virtual ~Source() = default;
  virtual Result<TreeSize> survey() const = 0;
  // As write_tar().
  virtual Status write(const std::optional<Bytes>& manifest, const Sink& sink,
                       const TreeProgress& progress) const = 0;
};

class DirectorySource final : public Source {
 public:
  explicit DirectorySource(const sys::Dir& directory) : directory_(directory) {}
  Result<TreeSize> survey() const override { return survey_tree(directory_); }
  Status write(const std::optional<Bytes>& manifest, const Sink& sink,
               const TreeProgress& progress) const override {
    return write_tar(directory_, manifest, sink, progress);
  }

 private:
  const sys::Dir& directory_;
};

}  // namespace cloister::package
