// Operations on contents: open, read, write, space.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "fuse/wire.h"
#include "share/filesystem.h"
#include "share/limits.h"

namespace cloister::share {

namespace {

constexpr std::uint64_t kMaxOffset = std::numeric_limits<off_t>::max();

// What is kept of the client's open flags: their values are the same on every architecture. O_APPEND is
// applied per write, since the client's program may turn it on and off.
Outcome<int> open_flags(std::uint32_t flags) {
  if ((flags & O_ACCMODE) == O_ACCMODE) return refuse(EINVAL);
  return static_cast<int>(flags & (O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC)) | O_NONBLOCK | O_NOCTTY;
}

Outcome<off_t> offset_of(std::uint64_t offset, std::uint64_t length = 0) {
  if (offset > kMaxOffset || length > kMaxOffset - offset) return refuse(EINVAL);
  return static_cast<off_t>(offset);
}

}  // namespace

// Makes the file, or opens what a job made of that name in the meantime, as open(2) with O_CREAT does.
Outcome<FileSystem::Made> FileSystem::make_or_open(const Caller& caller, const Inode& parent,
                                                   const fuse::Create& in) {
  auto flags = TRY(open_flags(in.flags));
  auto made = child(parent, in.name.c_str(), flags | O_CREAT | O_EXCL, in.mode & kSettableMode);
  if (made) {
    if (auto adopted = adopt(caller, made->get()); !adopted) {
      ::unlinkat(parent.handle.get(), in.name.c_str(), 0);
      return std::unexpected(adopted.error());
    }
    return Made{std::move(*made), true};
  }
  if (made.error().value != EEXIST || (in.flags & O_EXCL) != 0) return std::unexpected(made.error());
  auto path = TRY(child(parent, in.name.c_str(), O_PATH));
  struct stat info{};
  if (::fstat(path.get(), &info) != 0) return refuse_errno();
  if (S_ISDIR(info.st_mode)) return refuse(EISDIR);
  if (!S_ISREG(info.st_mode)) return refuse(EEXIST);
  return Made{TRY(reopen(path.get(), flags)), false};
}

Outcome<void> FileSystem::reply_opened(const Found& found, sys::Fd fd, ReplyBody& out) {
  fuse_open_out opened{};
  opened.fh = TRY(handles_.add(std::make_shared<const OpenFile>(std::move(fd), found.inode)));
  out.put(fuse::bytes_of(opened));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Create& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  auto file = TRY(make_or_open(caller, *parent, in));
  auto done = [&]() -> Outcome<void> {
    auto found = TRY(introduce(*parent, in.name.view(), TRY(reopen(file.fd.get(), O_PATH))));
    out.put(fuse::bytes_of(entry_of(*found.inode, found.info)));
    auto opened = reply_opened(found, std::move(file.fd), out);
    if (!opened) inodes_.forget(found.inode->id, 1);
    return opened;
  }();
  // An error means that there is no such file: its client could not even remove it, where the tables are
  // full.
  if (!done && file.is_new) ::unlinkat(parent->handle.get(), in.name.c_str(), 0);
  return done;
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::TmpFile& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  int flags =
      (TRY(open_flags(in.flags)) & ~O_TRUNC) | O_TMPFILE | static_cast<int>(in.flags & O_EXCL) | O_CLOEXEC;
  sys::Fd fd(::openat(parent->handle.get(), ".", flags, in.mode & kSettableMode));
  if (!fd) return refuse_errno();
  TRY(adopt(caller, fd.get()));
  Found found;
  auto path = TRY(reopen(fd.get(), O_PATH));
  if (::fstat(path.get(), &found.info) != 0) return refuse_errno();
  found.inode = TRY(inodes_.reference(std::move(path), found.info));
  inodes_.tell(*found.inode, found.info);
  out.put(fuse::bytes_of(entry_of(*found.inode, found.info)));
  auto opened = reply_opened(found, std::move(fd), out);
  if (!opened) inodes_.forget(found.inode->id, 1);
  return opened;
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Open& in, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  if (S_ISDIR(inode->type)) return refuse(EISDIR);
  if (!S_ISREG(inode->type)) return refuse(S_ISLNK(inode->type) ? ELOOP : ENXIO);
  struct stat info{};
  if (::fstat(inode->handle.get(), &info) != 0) return refuse_errno();
  fuse_open_out opened{};
  // The client's cached pages are good while the file is as it was last told: it judges them itself by every
  // attribute that it gets.
  if (up_to_date(*inode, info)) opened.open_flags |= FOPEN_KEEP_CACHE;
  auto fd = TRY(reopen(inode->handle.get(), TRY(open_flags(in.flags))));
  opened.fh = TRY(handles_.add(std::make_shared<const OpenFile>(std::move(fd), std::move(inode))));
  out.put(fuse::bytes_of(opened));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Read& in, ReplyBody& out) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  auto at = TRY(offset_of(in.in.offset, in.in.size));
  auto room = out.room().first(in.in.size);
  while (!room.empty()) {
    ssize_t n = ::pread(file->fd.get(), room.data(), room.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refuse_errno();
    if (n == 0) break;  // a short reply means the end of the file
    at += n;
    room = room.subspan(static_cast<std::size_t>(n));
    out.advance(static_cast<std::size_t>(n));
  }
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Write& in, ReplyBody& out) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  auto at = TRY(offset_of(in.in.offset, in.in.size));
  // Pages of a mapping go where they belong, whatever the flags of the descriptor that is used for them.
  bool appending = (in.in.flags & O_APPEND) != 0 && (in.in.write_flags & FUSE_WRITE_CACHE) == 0;
  iovec data{const_cast<std::uint8_t*>(in.data.data()), in.data.size()};
  ssize_t n;
  do {
    n = ::pwritev2(file->fd.get(), &data, 1, at, appending ? RWF_APPEND : 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return refuse_errno();
  fuse_write_out written{};
  written.size = static_cast<std::uint32_t>(n);
  out.put(fuse::bytes_of(written));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Release& in, ReplyBody&) {
  TRY(handles_.remove_file(in.handle, caller.nodeid));
  locks_.release(in.handle);
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Fsync& in, ReplyBody&) {
  auto file = TRY(handles_.file(in.handle, caller.nodeid));
  if ((in.data_only ? ::fdatasync(file->fd.get()) : ::fsync(file->fd.get())) != 0) return refuse_errno();
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Allocate& in, ReplyBody&) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  auto at = TRY(offset_of(in.in.offset, in.in.length));
  constexpr std::uint32_t kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((in.in.mode & ~kKnown) != 0) return refuse(EOPNOTSUPP);
  auto length = static_cast<off_t>(in.in.length);
  if (::fallocate(file->fd.get(), static_cast<int>(in.in.mode), at, length) == 0) return {};
  if (errno != EOPNOTSUPP || (in.in.mode & FALLOC_FL_ZERO_RANGE) == 0) return refuse_errno();
  // tmpfs cannot zero, but it can throw away and allocate anew: what it needs first, so that where there is
  // no room nothing is lost.
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  int rest = static_cast<int>(in.in.mode) & FALLOC_FL_KEEP_SIZE;
  if (::fallocate(file->fd.get(), rest, at, length) != 0) return refuse_errno();
  if (::fallocate(file->fd.get(), kPunch, at, length) != 0) return refuse_errno();
  if (::fallocate(file->fd.get(), rest, at, length) != 0) return refuse_errno();
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Seek& in, ReplyBody& out) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  if (in.in.whence != SEEK_DATA && in.in.whence != SEEK_HOLE) return refuse(EINVAL);
  off_t found = ::lseek(file->fd.get(), TRY(offset_of(in.in.offset)), static_cast<int>(in.in.whence));
  if (found < 0) return refuse_errno();
  out.put(fuse::bytes_of(fuse_lseek_out{.offset = static_cast<std::uint64_t>(found)}));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::CopyRange& in, ReplyBody& out) {
  auto from = TRY(handles_.file(in.in.fh_in, caller.nodeid));
  auto to = TRY(handles_.file(in.in.fh_out, in.in.nodeid_out));
  if (in.in.flags != 0) return refuse(EINVAL);
  auto length = std::min(in.in.len, kMaxCopy);
  off_t read_at = TRY(offset_of(in.in.off_in, length));
  off_t write_at = TRY(offset_of(in.in.off_out, length));
  ssize_t n = ::copy_file_range(from->fd.get(), &read_at, to->fd.get(), &write_at, length, 0);
  if (n < 0) return refuse_errno();
  fuse_write_out written{};
  written.size = static_cast<std::uint32_t>(n);
  out.put(fuse::bytes_of(written));
  return {};
}

}  // namespace cloister::share
