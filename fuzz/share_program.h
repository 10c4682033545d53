// The input of share_server_fuzz as a program for a hostile client and a hostile job. Its layout:
//
//   step       = what fields…                      what: 1 byte
//     what < c0   a FUSE request, opcode kOpcodes[what % their number]; node, then the fields of its struct
//     what < f0   the job does kJob[what % 12]: path, and another path, number or target
//     what < fe   length (1 byte), then so many bytes as a message
//     otherwise   who else uses the share, from here on: bit 0 another mount, bit 1 a job
//   node, handle = 1 byte: one of those that the server gave out; e0 and above: 8 bytes follow
//   name, path   = 1 byte: one of a pool; of names, e0 and above: length (1 byte), bytes
//   number       = 1 byte: one of kEdges; e0 and above: 8 bytes follow
#pragma once

#include <linux/fuse.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "base/bytes.h"
#include "fuse/protocol.h"

namespace cloister::share_fuzz {

inline constexpr std::uint32_t kOpcodes[] = {FUSE_LOOKUP,          FUSE_FORGET,      FUSE_BATCH_FORGET,
                                             FUSE_GETATTR,         FUSE_SETATTR,     FUSE_READLINK,
                                             FUSE_SYMLINK,         FUSE_MKNOD,       FUSE_MKDIR,
                                             FUSE_UNLINK,          FUSE_RMDIR,       FUSE_RENAME,
                                             FUSE_RENAME2,         FUSE_LINK,        FUSE_OPEN,
                                             FUSE_CREATE,          FUSE_TMPFILE,     FUSE_READ,
                                             FUSE_WRITE,           FUSE_STATFS,      FUSE_RELEASE,
                                             FUSE_FSYNC,           FUSE_SETXATTR,    FUSE_GETXATTR,
                                             FUSE_LISTXATTR,       FUSE_REMOVEXATTR, FUSE_OPENDIR,
                                             FUSE_READDIR,         FUSE_READDIRPLUS, FUSE_RELEASEDIR,
                                             FUSE_FSYNCDIR,        FUSE_FALLOCATE,   FUSE_LSEEK,
                                             FUSE_COPY_FILE_RANGE, FUSE_DESTROY,     FUSE_FLUSH,
                                             FUSE_GETLK,           FUSE_SETLK,       FUSE_SETLKW,
                                             fuse::kOpStatx,       FUSE_IOCTL};
inline const std::array<std::string, 14> kNames = {"a",
                                                   "b",
                                                   "d",
                                                   "e",
                                                   "l",
                                                   "f",
                                                   "..",
                                                   ".",
                                                   "",
                                                   "d/a",
                                                   "user.k",
                                                   "security.capability",
                                                   std::string(255, 'n'),
                                                   std::string(256, 'n')};
inline constexpr const char* kPaths[] = {"a", "b", "d", "d/a", "d/e", "d/e/l", "e", "l", "f"};
inline constexpr const char* kClientTargets[] = {"client", "/client/absolute", "../../client", "a"};
// The last two lead out from wherever they stand: never to be told.
inline constexpr const char* kJobTargets[] = {"a", "..", "../canary", "/dev/shm/canary", "d/../../canary"};
inline constexpr std::size_t kNeverTold = 3;
inline constexpr std::uint64_t kEdges[] = {0,
                                           1,
                                           2,
                                           7,
                                           16,
                                           4095,
                                           4096,
                                           4097,
                                           65535,
                                           65536,
                                           1ULL << 20,
                                           (1ULL << 20) + 1,
                                           0x7fffffff,
                                           0x80000000,
                                           0xffffffff,
                                           1ULL << 62,
                                           (1ULL << 63) - 1,
                                           1ULL << 63,
                                           ~0ULL - 1,
                                           ~0ULL,
                                           3,
                                           17,
                                           S_IFIFO | 0600,
                                           S_IFSOCK | 0600,
                                           S_IFCHR | 0600,
                                           S_IFBLK | 0600};

class Program {
 public:
  explicit Program(ByteView bytes) : rest_(bytes) {}
  bool ended() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    auto out = rest_.front();
    rest_ = rest_.subspan(1);
    return out;
  }
  ByteView bytes(std::size_t count) {
    auto out = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }
  std::uint64_t raw() {
    std::uint64_t out = 0;
    auto all = bytes(sizeof out);
    std::copy(all.begin(), all.end(), reinterpret_cast<std::uint8_t*>(&out));
    return out;
  }
  std::uint64_t one_of(std::span<const std::uint64_t> known) {
    auto which = byte();
    if (which >= 0xe0) return raw();
    return known.empty() ? 0 : known[which % known.size()];
  }
  std::uint64_t number() { return one_of(kEdges); }
  std::uint32_t number32() { return static_cast<std::uint32_t>(number()); }
  std::string name() {
    auto which = byte();
    return which >= 0xe0 ? std::string(as_text(bytes(byte()))) : kNames[which % kNames.size()];
  }
  template <std::size_t N>
  const char* pick(const char* const (&pool)[N]) {
    return pool[byte() % N];
  }

 private:
  ByteView rest_;
};

}  // namespace cloister::share_fuzz
