#include "fuse/reply_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "fuse/limits.h"
#include "fuse/protocol.h"
#include "fuse/request.h"
#include "fuse/wire.h"
#include "sys/dir.h"

namespace cloister::fuse {

namespace {

constexpr std::int32_t kMaxErrno = 511;  // what a FUSE kernel takes; the numbers above are its own
constexpr std::uint32_t kOpenFlags = FOPEN_KEEP_CACHE | FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_CACHE_DIR;
constexpr std::uint32_t kShownMode = S_IFMT | 01777;  // never setuid or setgid
constexpr std::uint64_t kMaxOffset = std::numeric_limits<off_t>::max();
constexpr std::uint32_t kNanoseconds = 1'000'000'000;
constexpr std::uint32_t kBlockSize = 4096;  // the kernel computes with it: never the enclave's number

Status exactly(ByteView body, std::size_t size) {
  if (body.size() != size)
    return fail(ErrorKind::invalid, "a reply of {} bytes instead of {}", body.size(), size);
  return {};
}

Status at_most(std::uint64_t size, std::uint64_t asked) {
  if (size > asked)
    return fail(ErrorKind::invalid, "a reply of {} bytes where {} were asked for", size, asked);
  return {};
}

// Fifos and sockets are names only: what is written to them never leaves this machine's kernel. Devices are
// not.
Status check_kind(std::uint32_t mode, std::uint64_t size) {
  if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) {
    return fail(ErrorKind::invalid, "a file of type {:o}", mode & S_IFMT);
  }
  if (size > kMaxOffset) return fail(ErrorKind::invalid, "a file of {} bytes", size);
  return {};
}

Status check_attributes(fuse_attr& attr, const Presentation& presentation) {
  TRY(check_kind(attr.mode, attr.size));
  attr.mode &= kShownMode;
  attr.rdev = 0;
  attr.flags = 0;
  attr.blksize = kBlockSize;
  for (auto* part : {&attr.atimensec, &attr.mtimensec, &attr.ctimensec})
    *part = std::min(*part, kNanoseconds - 1);
  if (!presentation.keep_owners) {
    attr.uid = presentation.uid;
    attr.gid = presentation.gid;
  }
  return {};
}

Status check_attr(MutableByteView body, const Presentation& presentation) {
  auto out = load<fuse_attr_out>(body);
  TRY(check_attributes(out.attr, presentation));
  store(body, out);
  return {};
}

Status check_statx(MutableByteView body, const Presentation& presentation) {
  auto out = load<StatxOut>(body);
  auto& stat = out.stat;
  TRY(check_kind(stat.mode, stat.size));
  stat.mode &= static_cast<std::uint16_t>(kShownMode);
  stat.mask &= STATX_BASIC_STATS | STATX_BTIME;
  stat.attributes = stat.attributes_mask = 0;
  stat.rdev_major = stat.rdev_minor = stat.dev_major = stat.dev_minor = 0;
  stat.blksize = kBlockSize;
  for (auto* part : {&stat.atime, &stat.btime, &stat.ctime, &stat.mtime})
    part->nanoseconds = std::min(part->nanoseconds, kNanoseconds - 1);
  if (!presentation.keep_owners) {
    stat.uid = presentation.uid;
    stat.gid = presentation.gid;
  }
  store(body, out);
  return {};
}

// `listed`: the entry of a directory listing may come without a node.
Status check_entry(MutableByteView body, const Presentation& presentation, bool listed) {
  auto out = load<fuse_entry_out>(body);
  if (listed && out.nodeid == 0) {
    store(body, fuse_entry_out{});
    return {};
  }
  if (out.nodeid <= FUSE_ROOT_ID) return fail(ErrorKind::invalid, "an entry of node {}", out.nodeid);
  TRY(check_attributes(out.attr, presentation));
  store(body, out);
  return {};
}

Status check_open(ByteView body) {
  auto flags = load<fuse_open_out>(body).open_flags;
  if ((flags & ~kOpenFlags) != 0) return fail(ErrorKind::invalid, "open flags {:#x}", flags);
  return {};
}

Status check_written(ByteView body, std::uint64_t asked) {
  TRY(exactly(body, sizeof(fuse_write_out)));
  return at_most(load<fuse_write_out>(body).size, asked);
}

Status check_link(ByteView body) {
  TRY(at_most(body.size(), kMaxSymlink));
  if (body.empty() || as_text(body).find('\0') != std::string_view::npos) {
    return fail(ErrorKind::invalid, "a link without a proper target");
  }
  return {};
}

Status check_statfs(ByteView body) {
  TRY(exactly(body, sizeof(fuse_statfs_out)));
  auto out = load<fuse_statfs_out>(body);
  if (out.st.bsize == 0 || out.st.frsize == 0)
    return fail(ErrorKind::invalid, "a file system with blocks of 0 bytes");
  return {};
}

Status check_dirent(const fuse_dirent& head, std::string_view name) {
  if (head.type != DT_REG && head.type != DT_DIR && head.type != DT_LNK && head.type != DT_FIFO &&
      head.type != DT_SOCK) {
    return fail(ErrorKind::invalid, "a directory entry of type {}", head.type);
  }
  if (name == "." || name == "..") return {};
  return sys::check_component(name);
}

Status check_listing(MutableByteView body, bool plus, const Presentation& presentation) {
  const std::size_t before = plus ? sizeof(fuse_entry_out) : 0;
  while (!body.empty()) {
    if (body.size() < before + FUSE_NAME_OFFSET)
      return fail(ErrorKind::invalid, "a directory entry cut short");
    fuse_dirent head{};
    std::copy_n(body.begin() + static_cast<std::ptrdiff_t>(before), FUSE_NAME_OFFSET,
                reinterpret_cast<std::uint8_t*>(&head));
    if (head.namelen > sys::kMaxComponent)
      return fail(ErrorKind::invalid, "a name of {} bytes", head.namelen);
    auto size = before + FUSE_REC_ALIGN(FUSE_NAME_OFFSET + head.namelen);
    if (body.size() < size) return fail(ErrorKind::invalid, "a directory entry cut short");
    TRY(check_dirent(head, as_text(body.subspan(before + FUSE_NAME_OFFSET, head.namelen))));
    if (plus) TRY(check_entry(body, presentation, true));
    body = body.subspan(size);
  }
  return {};
}

Status check_xattr_value(ByteView body, std::uint64_t asked) {
  if (asked == 0) return exactly(body, sizeof(fuse_getxattr_out));
  return at_most(body.size(), asked);
}

constexpr std::string_view kUser = "user.";

Status check_xattr_list(ByteView body, std::uint64_t asked) {
  TRY(check_xattr_value(body, asked));
  auto rest = asked == 0 ? std::string_view() : as_text(body);
  while (!rest.empty()) {
    auto end = rest.find('\0');
    // npos is longer than every name.
    if (end > sys::kMaxComponent || end <= kUser.size() || !rest.starts_with(kUser)) {
      return fail(ErrorKind::invalid, "a list of extended attributes of another shape");
    }
    rest.remove_prefix(end + 1);
  }
  return {};
}

Status check_created(MutableByteView body, const Presentation& presentation) {
  TRY(exactly(body, sizeof(fuse_entry_out) + sizeof(fuse_open_out)));
  TRY(check_entry(body, presentation, false));
  return check_open(body.subspan(sizeof(fuse_entry_out)));
}

Status check_seek(ByteView body) {
  TRY(exactly(body, sizeof(fuse_lseek_out)));
  return at_most(load<fuse_lseek_out>(body).offset, kMaxOffset);
}

Status check_lock(ByteView body) {
  auto lock = load<fuse_lk_out>(body).lk;
  if (lock.type != F_RDLCK && lock.type != F_WRLCK && lock.type != F_UNLCK)
    return fail(ErrorKind::invalid, "a lock of type {}", lock.type);
  if (lock.start > lock.end || lock.end > kMaxOffset)
    return fail(ErrorKind::invalid, "a lock from {} to {}", lock.start, lock.end);
  return {};
}

Status check_body(const Outstanding& request, MutableByteView body, const Presentation& presentation) {
  switch (request.opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      TRY(exactly(body, sizeof(fuse_entry_out)));
      return check_entry(body, presentation, false);
    case FUSE_GETATTR:
    case FUSE_SETATTR:
      TRY(exactly(body, sizeof(fuse_attr_out)));
      return check_attr(body, presentation);
    case kOpStatx:
      TRY(exactly(body, sizeof(StatxOut)));
      return check_statx(body, presentation);
    case FUSE_SETLK:
      TRY(exactly(body, sizeof(LockGranted)));
      return at_most(load<LockGranted>(body).shared, 1);
    case FUSE_GETLK:
      TRY(exactly(body, sizeof(fuse_lk_out)));
      return check_lock(body);
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return check_created(body, presentation);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      TRY(exactly(body, sizeof(fuse_open_out)));
      return check_open(body);
    case FUSE_READ:
      return at_most(body.size(), request.asked);
    case FUSE_WRITE:
    case FUSE_COPY_FILE_RANGE:
      return check_written(body, request.asked);
    case FUSE_READLINK:
      return check_link(body);
    case FUSE_STATFS:
      return check_statfs(body);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      TRY(at_most(body.size(), request.asked));
      return check_listing(body, request.opcode == FUSE_READDIRPLUS, presentation);
    case FUSE_GETXATTR:
      return check_xattr_value(body, request.asked);
    case FUSE_LISTXATTR:
      return check_xattr_list(body, request.asked);
    case FUSE_LSEEK:
      return check_seek(body);
    case FUSE_FLUSH:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_FALLOCATE:
    case FUSE_DESTROY:
      return exactly(body, 0);
    default:
      return fail(ErrorKind::invalid, "success at operation {}, which no enclave serves", request.opcode);
  }
}

}  // namespace

Outstanding outstanding_of(ByteView request) {
  auto header = load<fuse_in_header>(request);
  Outstanding out{.opcode = header.opcode, .unique = header.unique};
  auto body = request.subspan(sizeof header);
  switch (header.opcode) {
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      if (body.size() >= sizeof(fuse_read_in)) out.asked = load<fuse_read_in>(body).size;
      break;
    case FUSE_WRITE:
      if (body.size() >= sizeof(fuse_write_in)) out.asked = load<fuse_write_in>(body).size;
      break;
    case FUSE_COPY_FILE_RANGE:
      if (body.size() >= sizeof(fuse_copy_file_range_in)) out.asked = load<fuse_copy_file_range_in>(body).len;
      break;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
      if (body.size() >= sizeof(fuse_getxattr_in)) out.asked = load<fuse_getxattr_in>(body).size;
      break;
    default:
      break;
  }
  return out;
}

int answered_here(ByteView request) {
  auto header = load<fuse_in_header>(request);
  if (header.opcode != FUSE_GETXATTR) return 0;
  auto body = as_text(request.subspan(sizeof header));
  body.remove_prefix(std::min(body.size(), sizeof(fuse_getxattr_in)));
  return body.starts_with("user.") ? 0 : ENOTSUP;
}

void prepare_request(MutableByteView request, const Presentation& presentation) {
  auto header = load<fuse_in_header>(request);
  header.pid = 0;
  if (!presentation.keep_owners) header.uid = header.gid = 0;
  store(request, header);
  if (presentation.keep_owners || header.opcode != FUSE_SETATTR) return;
  auto body = request.subspan(sizeof header);
  if (body.size() < sizeof(fuse_setattr_in)) return;
  auto in = load<fuse_setattr_in>(body);
  in.valid &= ~static_cast<std::uint32_t>(FATTR_UID | FATTR_GID);
  in.uid = in.gid = 0;
  store(body, in);
}

void widen_open(MutableByteView request) {
  auto header = load<fuse_in_header>(request);
  // FUSE_OPEN and FUSE_CREATE begin with the flags.
  bool opens = header.opcode == FUSE_OPEN || header.opcode == FUSE_CREATE || header.opcode == FUSE_TMPFILE;
  if (!opens || request.size() < sizeof header + sizeof(std::uint32_t)) return;
  auto flags = load<std::uint32_t>(request, sizeof header);
  if ((flags & O_ACCMODE) != O_WRONLY) return;
  store(request, (flags & ~std::uint32_t{O_ACCMODE}) | O_RDWR, sizeof header);
}

Status check_reply(const Outstanding& request, MutableByteView reply, const Presentation& presentation) {
  if (reply.size() < sizeof(fuse_out_header)) return fail(ErrorKind::invalid, "a reply without its header");
  auto header = load<fuse_out_header>(reply);
  if (header.len != reply.size())
    return fail(ErrorKind::invalid, "a reply of {} bytes that says {}", reply.size(), header.len);
  if (!has_reply(request.opcode) || header.unique != request.unique) {
    return fail(ErrorKind::invalid, "a reply to a request that is not outstanding");
  }
  auto body = reply.subspan(sizeof header);
  if (header.error > 0 || header.error < -kMaxErrno)
    return fail(ErrorKind::invalid, "a reply of error {}", header.error);
  if (header.error != 0) return exactly(body, 0);
  return check_body(request, body, presentation);
}

}  // namespace cloister::fuse
