#include "emulator/instance_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sys/stream.h"

namespace cloister::emulator {

namespace {

constexpr sys::milliseconds kStopTime = sys::seconds(15);

struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(path);
  auto lock = whole_file();
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return InstanceLock(std::move(fd));
  if (errno != EAGAIN && errno != EACCES) return fail_errno(path);
  Error error(ErrorKind::unavailable, "another process uses this directory");
  return std::unexpected(
      std::move(error).with_hint("it may be serving already; cloister kms stop --dir DIR ends it"));
}

Result<pid_t> InstanceLock::holder(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return fail(ErrorKind::not_found, "nothing serves this directory");
  if (!fd) return fail_errno(path);
  auto lock = whole_file();
  if (::fcntl(fd.get(), F_GETLK, &lock) != 0) return fail_errno(path);
  if (lock.l_type == F_UNLCK) return fail(ErrorKind::not_found, "nothing serves this directory");
  if (lock.l_pid <= 0)
    return fail(ErrorKind::denied, "the process that serves is in another process namespace");
  return lock.l_pid;
}

Status stop_holder(const std::string& path) {
  auto pid = TRY(InstanceLock::holder(path));
  sys::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return fail_errno("pidfd_open");
  // The id may have been given to another process between the two calls; the lock tells.
  if (TRY(InstanceLock::holder(path)) != pid)
    return fail(ErrorKind::unavailable, "the process that serves has just changed");
  if (::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) != 0)
    return fail_errno("signal the server");
  return sys::wait_for(process.get(), POLLIN, sys::Deadline::after(kStopTime), "wait for the server to end");
}

}  // namespace cloister::emulator
