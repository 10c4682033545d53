// InstanceLock: at most one process serves a data directory, and `stop` finds it. A record lock (fcntl(2)):
// the kernel knows the holder's process id and drops the lock when it ends, so no stale file can mislead.
#pragma once

#include <sys/types.h>

#include <string>

#include "sys/fd.h"

namespace cloister::emulator {

class InstanceLock {
 public:
  // unavailable: another process holds it. Not inherited by fork(2): take it in the process that serves.
  static Result<InstanceLock> take(const std::string& path);
  // not_found: nobody does.
  static Result<pid_t> holder(const std::string& path);

 private:
  explicit InstanceLock(sys::Fd fd) : fd_(std::move(fd)) {}
  sys::Fd fd_;
};

// Ends the holder by SIGTERM and waits for it. not_found: nobody serves; unavailable: it is still there at
// the deadline.
Status stop_holder(const std::string& path);

}  // namespace cloister::emulator
