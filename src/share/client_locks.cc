#include "share/client_locks.h"

#include <algorithm>

#include "share/limits.h"

namespace cloister::share {

namespace {

constexpr std::size_t kEarlyInterrupts = 64;  // remembered; a request follows its interrupt within moments

}  // namespace

bool ClientLocks::begin_wait(std::uint64_t unique) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaitingLocks) return false;
  bool came_early = std::find(early_.begin(), early_.end(), unique) != early_.end();
  waiting_.emplace(unique, came_early);
  return true;
}

void ClientLocks::end_wait(std::uint64_t unique) {
  std::lock_guard lock(mutex_);
  waiting_.erase(unique);
}

bool ClientLocks::interrupted(std::uint64_t unique) const {
  std::lock_guard lock(mutex_);
  auto found = waiting_.find(unique);
  return found != waiting_.end() && found->second;
}

void ClientLocks::interrupt(std::uint64_t unique) {
  std::lock_guard lock(mutex_);
  if (auto found = waiting_.find(unique); found != waiting_.end()) {
    found->second = true;
    return;
  }
  if (early_.size() >= kEarlyInterrupts) early_.pop_front();
  early_.push_back(unique);
}

void ClientLocks::note_locked(std::uint64_t node) {
  std::lock_guard lock(mutex_);
  if (any_locked_) return;
  locked_.insert(node);
  if (locked_.size() <= kMaxLockedFiles) return;
  any_locked_ = true;
  locked_.clear();
}

bool ClientLocks::may_be_locked(std::uint64_t node) const {
  std::lock_guard lock(mutex_);
  return any_locked_ || locked_.contains(node);
}

std::uint32_t ClientLocks::token_of(pid_t pid) {
  std::lock_guard lock(mutex_);
  auto known = std::find(pids_.begin(), pids_.end(), pid);
  auto token = static_cast<std::uint32_t>(known - pids_.begin()) + 1;
  if (known != pids_.end()) return token;
  if (pids_.size() >= kMaxPidTokens) return 0;
  pids_.push_back(pid);
  return token;
}

std::uint32_t ClientLocks::pid_of(std::uint32_t token) const {
  std::lock_guard lock(mutex_);
  if (token == 0 || token > pids_.size()) return 0;
  return static_cast<std::uint32_t>(pids_[token - 1]);
}

}  // namespace cloister::share
