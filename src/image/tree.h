// FileTree: a root file system as a model. Paths are keys, not places on a disk: owners, modes and devices
// are what the image will have, whoever builds it. Contents stay in one spool file; the tree holds where.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "sys/fd.h"

namespace cloister::image {

inline constexpr std::size_t kMaxTreeEntries = 1'000'000;
inline constexpr std::size_t kMaxTreePath = 4095;           // bytes (the kernel's PATH_MAX less its zero)
inline constexpr std::uint64_t kMaxTreeFile = 0xffff'ffff;  // bytes: a cpio header has 32 bits for it
inline constexpr std::uint64_t kMaxTreeBytes = std::uint64_t{64} << 30;  // of all contents

// Where a content is in the spool.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

struct Node {
  mode_t mode = 0;  // type and permissions, as in stat(2)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string link;  // a symbolic link's target
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  Extent content;
  std::uint64_t hard_link = 0;  // entries of the same number, not 0, are one file

  bool is_directory() const { return (mode & 0170000) == 0040000; }
  bool is_file() const { return (mode & 0170000) == 0100000; }
  bool is_link() const { return (mode & 0170000) == 0120000; }
};
Node directory_node(mode_t permissions = 0755);
Node link_node(std::string target);

// "usr/lib/x" from "./usr//lib/x/". invalid: absolute, "..", NUL, empty, too long.
Result<std::string> normal_path(std::string_view name);

class FileTree {
 public:
  using Entries = std::map<std::string, Node>;  // bytewise by path: a parent comes before what is in it

  // Puts a node at a normal path. Parents are made where they are missing (0755, root); a parent that is a
  // link of this tree is followed within it, as a runtime would that unpacks on top. A directory over a
  // directory keeps what is in it; anything else takes the place of what was there.
  // invalid: a parent is a file, or links lead out or round. exhausted: a limit of the tree.
  Status put(const std::string& path, Node node);
  // A second name of a file that is there. invalid: there is none.
  Status put_hard_link(const std::string& path, const std::string& target);
  // Removes an entry and all below it; whether there was one.
  bool remove(const std::string& path);
  // Removes what is in a directory.
  void clear_directory(const std::string& path);
  const Node* find(const std::string& path) const;
  // The path with the links among its parents followed.
  Result<std::string> resolve(const std::string& path) const;

  const Entries& entries() const { return entries_; }
  std::uint64_t content_bytes() const;

 private:
  Status make_parents(const std::string& path);
  Entries entries_;
  std::uint64_t next_hard_link_ = 1;
};

// Contents, appended to one nameless temporary file. Not thread-safe.
class Spool {
 public:
  // In `directory`, where there is room for a whole root file system.
  static Result<Spool> create(const std::string& directory);

  std::uint64_t position() const { return end_; }
  Status append(ByteView bytes);
  Result<Extent> add(ByteView bytes);
  // A whole file, from its descriptor's current position on.
  Result<Extent> add_file(int fd, std::string_view what);
  // Reads a part; internal: past the end.
  Status read(std::uint64_t offset, MutableByteView out) const;

 private:
  explicit Spool(sys::Fd fd) : fd_(std::move(fd)) {}
  sys::Fd fd_;
  std::uint64_t end_ = 0;
};

}  // namespace cloister::image
