// Operations on attributes: stat, chmod, chown, truncate, times, links' targets, user.* extended attributes.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <limits>

#include "fuse/wire.h"
#include "share/filesystem.h"
#include "share/limits.h"
#include "sys/dir.h"

namespace cloister::share {

namespace {

constexpr std::size_t kMaxXattrList = 64 * 1024;  // bytes (XATTR_LIST_MAX)

timespec time_of(std::uint32_t valid, std::uint32_t set, std::uint32_t now, std::uint64_t seconds,
                 std::uint32_t rest) {
  if ((valid & now) != 0) return {0, UTIME_NOW};
  if ((valid & set) == 0) return {0, UTIME_OMIT};
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

Outcome<void> set_times(const Inode& inode, const fuse_setattr_in& in) {
  constexpr std::uint32_t kTimes = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
  if ((in.valid & kTimes) == 0) return {};
  // UTIME_NOW and UTIME_OMIT are values of this field too: only the flags above may choose them.
  if (in.atimensec >= 1'000'000'000 || in.mtimensec >= 1'000'000'000) return refuse(EINVAL);
  timespec times[2] = {time_of(in.valid, FATTR_ATIME, FATTR_ATIME_NOW, in.atime, in.atimensec),
                       time_of(in.valid, FATTR_MTIME, FATTR_MTIME_NOW, in.mtime, in.mtimensec)};
  if (::utimensat(inode.handle.get(), "", times, AT_EMPTY_PATH) != 0) return refuse_errno();
  return {};
}

Outcome<void> set_owner(const Inode& inode, const fuse_setattr_in& in) {
  if ((in.valid & (FATTR_UID | FATTR_GID)) == 0) return {};
  uid_t uid = (in.valid & FATTR_UID) != 0 ? in.uid : static_cast<uid_t>(-1);
  gid_t gid = (in.valid & FATTR_GID) != 0 ? in.gid : static_cast<gid_t>(-1);
  if (::fchownat(inode.handle.get(), "", uid, gid, AT_EMPTY_PATH) != 0) return refuse_errno();
  return {};
}

fuse::StatxTime statx_time(const statx_timestamp& time) {
  return {.seconds = time.tv_sec, .nanoseconds = time.tv_nsec, .reserved = 0};
}

fuse::StatxOut statx_out(const struct statx& info, std::uint64_t lifetime) {
  fuse::StatxOut out{};
  out.attr_valid = lifetime;
  auto& stat = out.stat;
  stat.mask = info.stx_mask & (STATX_BASIC_STATS | STATX_BTIME);
  stat.blksize = kBlockSize;
  stat.nlink = info.stx_nlink;
  stat.uid = info.stx_uid;
  stat.gid = info.stx_gid;
  stat.mode = static_cast<std::uint16_t>(shown_mode(info.stx_mode));
  stat.ino = info.stx_ino;
  stat.size = info.stx_size;
  stat.blocks = info.stx_blocks;
  stat.atime = statx_time(info.stx_atime);
  stat.btime = statx_time(info.stx_btime);
  stat.ctime = statx_time(info.stx_ctime);
  stat.mtime = statx_time(info.stx_mtime);
  return out;
}

fuse_attr_out attr_out(const struct stat& info, std::uint64_t lifetime) {
  fuse_attr_out out{};
  out.attr_valid = lifetime;
  out.attr = attributes_of(info);
  return out;
}

}  // namespace

Outcome<void> FileSystem::run(const Caller& caller, const fuse::GetAttr&, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  struct stat info{};
  if (::fstat(inode->handle.get(), &info) != 0) return refuse_errno();
  inodes_.tell(*inode, info);
  out.put(fuse::bytes_of(attr_out(info, lifetime())));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::GetStatx&, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  struct statx info{};
  if (::statx(inode->handle.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &info) != 0)
    return refuse_errno();
  // What the client was told is remembered as stat(2) has it.
  struct stat basic{};
  if (::fstat(inode->handle.get(), &basic) != 0) return refuse_errno();
  inodes_.tell(*inode, basic);
  out.put(fuse::bytes_of(statx_out(info, lifetime())));
  return {};
}

Outcome<void> FileSystem::set_size(const Inode& inode, const fuse_setattr_in& in) {
  if ((in.valid & FATTR_SIZE) == 0) return {};
  if (S_ISDIR(inode.type)) return refuse(EISDIR);
  if (!S_ISREG(inode.type) || in.size > std::numeric_limits<off_t>::max()) return refuse(EINVAL);
  if ((in.valid & FATTR_FH) != 0) {
    auto file = TRY(handles_.file(in.fh, inode.id));
    if (::ftruncate(file->fd.get(), static_cast<off_t>(in.size)) != 0) return refuse_errno();
    return {};
  }
  auto fd = TRY(reopen(inode.handle.get(), O_WRONLY | O_NONBLOCK | O_NOCTTY));
  if (::ftruncate(fd.get(), static_cast<off_t>(in.size)) != 0) return refuse_errno();
  return {};
}

Outcome<void> FileSystem::set_attributes(const Inode& inode, const fuse_setattr_in& in) {
  if ((in.valid & FATTR_MODE) != 0) {
    if (S_ISLNK(inode.type)) return refuse(EOPNOTSUPP);
    // The link in /proc/self/fd leads to the inode itself, which is no link.
    auto number = std::to_string(inode.handle.get());
    if (::fchmodat(proc_self_fd_.descriptor(), number.c_str(), in.mode & kSettableMode, 0) != 0)
      return refuse_errno();
  }
  TRY(set_owner(inode, in));
  TRY(set_size(inode, in));
  return set_times(inode, in);
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::SetAttr& in, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  TRY(set_attributes(*inode, in.in));
  return run(caller, fuse::GetAttr{}, out);
}

// A link may have been moved since it was looked up: it is judged again, at every place where the client
// knows it. At none, because invalidation has taken its names back, it is nobody's to read.
Outcome<void> FileSystem::run(const Caller& caller, const fuse::ReadLink&, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  if (!S_ISLNK(inode->type)) return refuse(EINVAL);
  auto target = TRY(read_link(inode->handle.get()));
  bool known = false;
  for (const auto& entry : inodes_.entries(*inode)) {
    auto parent = inodes_.find(entry.parent);
    if (!parent) continue;
    if (!link_visible(**parent, inode->number, target)) return refuse(EPERM);
    known = true;
  }
  if (!known) return refuse(EPERM);
  out.put(as_bytes(target));
  return {};
}

Outcome<void> FileSystem::run(const Caller&, const fuse::StatFs&, ReplyBody& out) {
  auto root = TRY(reopen(inodes_.root()->handle.get(), O_RDONLY | O_DIRECTORY));
  struct statfs info{};
  if (::fstatfs(root.get(), &info) != 0) return refuse_errno();
  fuse_statfs_out reply{};
  reply.st.blocks = info.f_blocks;
  reply.st.bfree = info.f_bfree;
  reply.st.bavail = info.f_bavail;
  reply.st.files = info.f_files;
  reply.st.ffree = info.f_ffree;
  reply.st.bsize = static_cast<std::uint32_t>(info.f_bsize);
  reply.st.frsize = static_cast<std::uint32_t>(info.f_frsize);
  reply.st.namelen = sys::kMaxComponent;
  out.put(fuse::bytes_of(reply));
  return {};
}

// Extended attributes need a real descriptor. user.* exists on files and directories only.
Outcome<sys::Fd> FileSystem::open_for_xattrs(NodeId node, int error_for_links) const {
  auto inode = TRY(inodes_.find(node));
  if (!S_ISREG(inode->type) && !S_ISDIR(inode->type)) return refuse(error_for_links);
  return reopen(inode->handle.get(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::SetXattr& in, ReplyBody&) {
  if ((in.flags & ~std::uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0) return refuse(EINVAL);
  auto fd = TRY(open_for_xattrs(caller.nodeid, EPERM));
  if (::fsetxattr(fd.get(), in.name, in.value.data(), in.value.size(), static_cast<int>(in.flags)) != 0) {
    return refuse_errno();
  }
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::RemoveXattr& in, ReplyBody&) {
  auto fd = TRY(open_for_xattrs(caller.nodeid, EPERM));
  if (::fremovexattr(fd.get(), in.name) != 0) return refuse_errno();
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::GetXattr& in, ReplyBody& out) {
  auto fd = TRY(open_for_xattrs(caller.nodeid, ENODATA));
  auto room = out.room();
  ssize_t n = ::fgetxattr(fd.get(), in.name, in.size == 0 ? nullptr : room.data(), in.size);
  if (n < 0) return refuse_errno();
  if (in.size == 0) {
    out.put(fuse::bytes_of(fuse_getxattr_out{.size = static_cast<std::uint32_t>(n), .padding = 0}));
  } else {
    out.advance(static_cast<std::size_t>(n));
  }
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::ListXattr& in, ReplyBody& out) {
  auto fd = open_for_xattrs(caller.nodeid, ENODATA);
  std::string all;
  if (fd) {
    all.resize(kMaxXattrList);
    ssize_t n = ::flistxattr(fd->get(), all.data(), all.size());
    if (n < 0) return refuse_errno();
    all.resize(static_cast<std::size_t>(n));
  } else if (fd.error().value != ENODATA) {
    return std::unexpected(fd.error());
  }
  std::string user;
  for (std::size_t at = 0; at < all.size();) {
    std::string_view name = all.c_str() + at;
    if (name.starts_with("user.")) user.append(name).push_back('\0');
    at += name.size() + 1;
  }
  if (in.size == 0) {
    out.put(fuse::bytes_of(fuse_getxattr_out{.size = static_cast<std::uint32_t>(user.size()), .padding = 0}));
    return {};
  }
  if (user.size() > in.size) return refuse(ERANGE);
  out.put(as_bytes(user));
  return {};
}

}  // namespace cloister::share
