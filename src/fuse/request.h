// Requests as the client sends them: bytes → typed structs, every length, name and number checked. Pure
// functions. The client is the kernel of a machine that the enclave does not trust: nothing here believes a
// field.
#pragma once

#include <linux/fuse.h>

#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "fuse/outcome.h"
#include "fuse/protocol.h"

namespace cloister::fuse {

// One checked path component. A NUL stands after it in the message, so that c_str() goes straight to a system
// call.
class Name {
 public:
  Name() = default;
  explicit Name(std::string_view text) : text_(text) {}
  const char* c_str() const { return text_.data(); }
  std::string_view view() const { return text_; }

 private:
  std::string_view text_;
};

struct Lookup {
  Name name;
};
struct Forget {
  std::uint64_t count;
};
struct BatchForget {
  ByteView entries;
};  // whole fuse_forget_one
struct GetAttr {};
struct GetStatx {};
struct SetAttr {
  fuse_setattr_in in;
};
struct ReadLink {};
struct Symlink {
  Name name;
  std::string_view target;
};  // a NUL stands after the target too
struct MakeNode {
  Name name;
  std::uint32_t mode;
};
struct MakeDir {
  Name name;
  std::uint32_t mode;
};
struct Unlink {
  Name name;
};
struct RemoveDir {
  Name name;
};
struct Rename {
  Name from;
  std::uint64_t to_parent;
  Name to;
  std::uint32_t flags;
};
struct Link {
  std::uint64_t source;
  Name name;
};
struct Open {
  std::uint32_t flags;
};
struct Create {
  Name name;
  std::uint32_t flags;
  std::uint32_t mode;
};
struct TmpFile {
  std::uint32_t flags;
  std::uint32_t mode;
};
struct Read {
  fuse_read_in in;
};
struct Write {
  fuse_write_in in;
  ByteView data;
};
struct StatFs {};
struct Flush {
  std::uint64_t handle;
  std::uint64_t owner;
};
// POSIX locks of a range, or BSD locks of a whole file; `owner` is the client kernel's number for who locks.
struct GetLock {
  fuse_lk_in in;
};
struct SetLock {
  fuse_lk_in in;
  bool whole_file;
};
struct Release {
  std::uint64_t handle;
};
struct Fsync {
  std::uint64_t handle;
  bool data_only;
};
struct SetXattr {
  const char* name;
  ByteView value;
  std::uint32_t flags;
};  // the names are user.*, NUL-terminated
struct GetXattr {
  const char* name;
  std::uint32_t size;
};
struct ListXattr {
  std::uint32_t size;
};
struct RemoveXattr {
  const char* name;
};
struct OpenDir {};
struct ReadDir {
  fuse_read_in in;
  bool plus;
};
struct ReleaseDir {
  std::uint64_t handle;
};
struct FsyncDir {
  std::uint64_t handle;
  bool data_only;
};
struct Allocate {
  fuse_fallocate_in in;
};
struct Seek {
  fuse_lseek_in in;
};
struct CopyRange {
  fuse_copy_file_range_in in;
};
struct Destroy {};

using Body =
    std::variant<Lookup, Forget, BatchForget, GetAttr, GetStatx, SetAttr, ReadLink, Symlink, MakeNode,
                 MakeDir, Unlink, RemoveDir, Rename, Link, Open, Create, TmpFile, Read, Write, StatFs, Flush,
                 GetLock, SetLock, Release, Fsync, SetXattr, GetXattr, ListXattr, RemoveXattr, OpenDir,
                 ReadDir, ReleaseDir, FsyncDir, Allocate, Seek, CopyRange, Destroy>;

// invalid: not a FUSE request; what follows on the stream cannot be trusted to be one.
Result<fuse_in_header> decode_header(ByteView message);

// The body of a message whose header was decoded. Its views point into the message.
// ENOSYS: an opcode that is not served. EIO: a body of another shape. EINVAL, ENAMETOOLONG, ENOTSUP: a value.
Outcome<Body> decode_body(const fuse_in_header& header, ByteView message);

// FORGET and BATCH_FORGET are never answered.
bool has_reply(std::uint32_t opcode);

}  // namespace cloister::fuse
