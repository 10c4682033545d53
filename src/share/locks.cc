// Operations on locks. None of them waits: the client asks again (docs/formats/share.md).
#include <fcntl.h>

#include "fuse/protocol.h"
#include "fuse/wire.h"
#include "share/filesystem.h"

// flock(2). Its header, <sys/file.h>, hides behind this project's own file of that name.
extern "C" int flock(int fd, int operation) noexcept;

namespace cloister::share {

namespace {

int flock_operation(std::uint32_t type) {
  if (type == F_UNLCK) return LOCK_UN;
  return (type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB;
}

}  // namespace

Outcome<void> FileSystem::run(const Caller& caller, const fuse::SetLock& in, ReplyBody& out) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  // A BSD lock belongs to the open file itself, and this handle is that.
  if (in.whole_file) {
    if (::flock(file->fd.get(), flock_operation(in.in.lk.type)) != 0) return refuse_errno();
  } else {
    TRY(locks_.set(file->inode, in.in.owner, in.in.fh, in.in.lk,
                   [&] { return reopen_for_locks(*file->inode); }));
  }
  bool taken = in.in.lk.type != F_UNLCK;
  bool shared = other_mounts_ || jobs_since_ != kNever;
  out.put(fuse::bytes_of(fuse::LockGranted{.shared = taken && shared ? 1U : 0U}));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::GetLock& in, ReplyBody& out) {
  auto file = TRY(handles_.file(in.in.fh, caller.nodeid));
  auto met =
      TRY(locks_.test(file->inode, in.in.owner, in.in.lk, [&] { return reopen_for_locks(*file->inode); }));
  out.put(fuse::bytes_of(fuse_lk_out{.lk = met}));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Flush& in, ReplyBody&) {
  auto file = TRY(handles_.file(in.handle, caller.nodeid));
  locks_.drop(file->inode->id, in.owner);
  return {};
}

Outcome<sys::Fd> FileSystem::reopen_for_locks(const Inode& inode) const {
  return reopen(inode.handle.get(), O_RDWR | O_NONBLOCK | O_NOCTTY);
}

}  // namespace cloister::share
