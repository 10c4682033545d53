#include "sys/process.h"

#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "sys/stream.h"

namespace cloister::sys {

Child::Child(Child&& other) noexcept : pid_(other.pid_), pidfd_(std::move(other.pidfd_)) {
  other.pid_ = -1;
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = other.pid_;
    pidfd_ = std::move(other.pidfd_);
    other.pid_ = -1;
  }
  return *this;
}

Child::~Child() {
  kill_and_reap();
}

Status Child::signal(int number) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) != 0)
    return fail_errno("signal a child");
  return {};
}

Result<ExitStatus> Child::wait(Deadline deadline) {
  TRY(wait_for(pidfd_.get(), POLLIN, deadline, "wait for a child"));
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("waitpid");
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return ExitStatus{true, WTERMSIG(status)};
  return ExitStatus{false, WEXITSTATUS(status)};
}

void Child::kill_and_reap() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Result<Child> fork_child(const std::function<int()>& body, unsigned clone_flags) {
  int pidfd = -1;
  clone_args args{};
  args.flags = static_cast<std::uint64_t>(clone_flags) | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  pid_t parent = ::getpid();
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return fail_errno("clone3");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // In a new pid namespace the parent shows as 0; elsewhere, a parent that died before prctl must be
    // noticed.
    if ((clone_flags & CLONE_NEWPID) == 0 && ::getppid() != parent) ::_exit(127);
    int code = 127;
    try {
      code = body();
    } catch (...) {
      code = 127;
    }
    ::_exit(code);
  }
  return Child(static_cast<pid_t>(pid), Fd(pidfd));
}

Status close_descriptors_except(int first, std::initializer_list<int> keep) {
  std::vector<int> sorted(keep);
  std::sort(sorted.begin(), sorted.end());
  auto from = static_cast<unsigned>(first);
  for (int fd : sorted) {
    if (fd < static_cast<int>(from)) continue;
    if (static_cast<unsigned>(fd) > from &&
        ::syscall(SYS_close_range, from, static_cast<unsigned>(fd) - 1, 0) != 0) {
      return fail_errno("close_range");
    }
    from = static_cast<unsigned>(fd) + 1;
  }
  if (::syscall(SYS_close_range, from, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

}  // namespace cloister::sys
