// What the FUSE protocol has gained since the <linux/fuse.h> that this is compiled with (Debian 12: protocol
// 7.38). Source: include/uapi/linux/fuse.h of Linux 6.6 (7.39).
#pragma once

#include <cstdint>

namespace cloister::fuse {

inline constexpr std::uint32_t kOpStatx = 52;

struct StatxIn {
  std::uint32_t getattr_flags;
  std::uint32_t reserved;
  std::uint64_t fh;
  std::uint32_t sx_flags;
  std::uint32_t sx_mask;  // STATX_*: what is asked for
};

struct StatxTime {
  std::int64_t seconds;
  std::uint32_t nanoseconds;
  std::int32_t reserved;
};

struct Statx {
  std::uint32_t mask;  // STATX_*: what is filled
  std::uint32_t blksize;
  std::uint64_t attributes;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint16_t mode;
  std::uint16_t spare0;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t attributes_mask;
  StatxTime atime;
  StatxTime btime;
  StatxTime ctime;
  StatxTime mtime;
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::uint64_t spare2[14];
};
static_assert(sizeof(Statx) == 256);

struct StatxOut {
  std::uint64_t attr_valid;  // seconds
  std::uint32_t attr_valid_nsec;
  std::uint32_t flags;
  std::uint64_t spare[2];
  Statx stat;
};
static_assert(sizeof(StatxOut) == 288);

// Not FUSE's, but of the lane (docs/formats/share.md): the body of a reply to SETLK. The client's kernel gets
// none.
struct LockGranted {
  // 1: others use the share. What the kernel has of the file is older than the lock and has to go first.
  std::uint32_t shared;
};

}  // namespace cloister::fuse
