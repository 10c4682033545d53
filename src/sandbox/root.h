// A root file system made of nothing but what a plan names: a small tmpfs, read-only in the end, with mounts
// on it. All of it happens in the calling process's mount namespace, which must be its own
// (isolate_mounts()).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/idmap.h"
#include "sys/fd.h"

namespace cloister::sandbox {

// Of the root's own tmpfs: directories and small files.
inline constexpr std::uint64_t kRootBytes = 4ULL << 20;
inline constexpr std::uint64_t kRootInodes = 4096;
inline constexpr std::size_t kMaxMounts = 512;      // in one plan
inline constexpr std::uint64_t kInodeBytes = 4096;  // tmpfs: one inode allowed per so many bytes of its size

// A new tmpfs. Its size bounds file contents, and inodes bound the kernel memory that empty files take.
struct TmpfsOptions {
  std::uint64_t size_bytes = 0;  // required
  std::uint64_t inodes = 0;      // 0: size_bytes / kInodeBytes, at least 128
  mode_t mode = 0755;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Everything mounted is nosuid and nodev.
struct Mount {
  enum class Kind { bind, tmpfs };
  Kind kind = Kind::bind;
  // Absolute, normal form, below the new root ("/app"). Missing parents are created where the root is still
  // ours; no symlink on the way is followed. A mount may stand on an earlier one.
  std::string target;
  // bind: a directory or a file, by path in the caller's namespace (links are followed: paths of ours only)
  // or, if source_fd >= 0, by descriptor (borrowed), which may also be a detached mount (make_tmpfs()). A
  // detached mount is copied since Linux 6.15; before, it is itself attached, once, and takes this mount's
  // attributes. Any other descriptor must be of a mount in the caller's namespace.
  std::string source;
  int source_fd = -1;
  bool recursive = true;  // bind: with the mounts below the source; never with ids
  bool read_only = true;
  bool no_exec = false;
  std::vector<IdPair> ids;  // bind: idmapped; empty: ids as they are
  TmpfsOptions tmpfs;       // tmpfs only
};

struct Symlink {
  std::string path;    // as Mount::target
  std::string points;  // its text, unchecked: it is resolved by the job, inside the job's root
};

struct TextFile {
  std::string path;  // as Mount::target, in the root's own tmpfs ("/etc/passwd")
  std::string content;
  mode_t mode = 0444;
};

struct RootPlan {
  std::vector<Symlink> symlinks;  // made first
  std::vector<TextFile> files;    // then these
  std::vector<Mount> mounts;      // then these, in order
  // A minimal /dev: null, zero, full, random, urandom (bound from host_dev), fd, stdin, stdout, stderr; shm
  // if given.
  bool devices = true;
  std::string host_dev = "/dev";
  std::optional<TmpfsOptions> shm;
  bool proc = true;  // an empty /proc for mount_proc()
};

// An assembled root. Its mounts live in the caller's namespace until the namespace ends or discard_root().
struct Root {
  std::string mount_point;
};

// Builds the plan on mount_point, an existing directory. On an error whatever was mounted is detached again.
// invalid: a target that is not absolute and normal, too many mounts. unavailable: ids asked for, and not
// possible.
Result<Root> assemble_root(const RootPlan& plan, const std::string& mount_point);

// Makes the root the calling process's "/" (and working directory) and lets go of everything else:
// pivot_root(2). The process needs a mount namespace of its own, which may be a copy of the assembler's. The
// old root must not be an initramfs.
Status enter_root(const Root& root);

Status discard_root(const Root& root);

// A detached tmpfs (nosuid, nodev) as a descriptor: files can be opened below it at once, it can be mounted
// once with attach_mount(), and it is gone with its last user.
Result<sys::Fd> make_tmpfs(const TmpfsOptions& options, bool no_exec = false);
// Mounts it on an existing directory of the caller's namespace.
Status attach_mount(int mount_fd, const std::string& path);
// Gives the tmpfs mounted at path other limits, for all its mounts. An error: it holds more than that.
Status limit_tmpfs(const std::string& path, std::uint64_t size_bytes, std::uint64_t inodes);

}  // namespace cloister::sandbox
