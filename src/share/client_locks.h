// What the client's end of a mount remembers about locks. The enclave never makes anybody wait for a lock: a
// request that may wait is asked again until it is granted or its caller is interrupted. One per pump;
// thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_set>
#include <vector>

namespace cloister::share {

class ClientLocks {
 public:
  // A lock request that may wait has come from the kernel. false: too many wait already.
  bool begin_wait(std::uint64_t unique);
  void end_wait(std::uint64_t unique);
  bool interrupted(std::uint64_t unique) const;
  // The kernel's INTERRUPT for a request; it may overtake the request itself on another lane. Of requests
  // that do not wait nothing is remembered for long.
  void interrupt(std::uint64_t unique);

  // A file in which a POSIX lock was granted must hear of every close. To forget one would leave a lock
  // behind, so past the limit every file counts as one.
  void note_locked(std::uint64_t node);
  bool may_be_locked(std::uint64_t node) const;

  // Process numbers stay on this machine: the enclave has tokens for them. 0: none, or one too many.
  std::uint32_t token_of(pid_t pid);
  std::uint32_t pid_of(std::uint32_t token) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, bool> waiting_;  // whether it was interrupted
  std::deque<std::uint64_t> early_;        // interrupts of requests that nobody waits for, yet
  std::unordered_set<std::uint64_t> locked_;
  bool any_locked_ = false;
  std::vector<pid_t> pids_;
};

}  // namespace cloister::share
