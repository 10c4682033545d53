// Processes: fork with a body, pidfds, waiting with a deadline.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

#include "sys/clock.h"
#include "sys/fd.h"

namespace cloister::sys {

// How a process ended.
struct ExitStatus {
  bool signalled = false;
  int code = 0;  // exit code, or the signal's number
  // As a shell shows it: the exit code, or 128 + signal.
  int shell_code() const { return signalled ? 128 + code : code; }
};

// A child of ours. Killed and reaped when dropped, unless it ended or was let go.
class Child {
 public:
  Child() = default;
  Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable when the child has ended
  explicit operator bool() const { return pid_ > 0; }

  Status signal(int number) const;
  // unavailable: still running at the deadline.
  Result<ExitStatus> wait(Deadline deadline = {});
  void kill_and_reap();
  // Keeps it running after this object is gone.
  void let_go() { pid_ = -1; }

 private:
  pid_t pid_ = -1;
  Fd pidfd_;
};

// Runs body in a forked child and exits with what it returns. clone_flags: CLONE_NEW* for the child (it is
// pid 1 of a new pid namespace). The child gets SIGKILL when the calling thread's process dies.
Result<Child> fork_child(const std::function<int()>& body, unsigned clone_flags = 0);

// Closes every descriptor from `first` on (close_range(2)) but those named.
Status close_descriptors_except(int first, std::initializer_list<int> keep);

}  // namespace cloister::sys
