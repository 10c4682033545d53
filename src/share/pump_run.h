// What the threads of one pump share: whether to go on, and why not; who waits for locks. Thread-safe.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "share/client_locks.h"
#include "share/lock_grants.h"
#include "sys/fd.h"

namespace cloister::share {

class PumpRun {
 public:
  static Result<sys::Fd> make_signal() {
    sys::Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return fail_errno("eventfd");
    return fd;
  }
  explicit PumpRun(sys::Fd signal) : signal_(std::move(signal)) {}

  // The enclave or its lane is gone: from now on every request is answered with EIO. The first reason stays.
  void fail_with(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_ && !unmounted_) error_ = std::move(error);
    broken_ = true;
    changed_.notify_all();
  }
  void unmounted() {
    std::lock_guard lock(mutex_);
    unmounted_ = true;
    changed_.notify_all();
  }
  void wait_until_over() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return broken_ || unmounted_; });
  }
  // Wakes every lane and ends it.
  void stop() {
    stopping_ = true;
    std::uint64_t one = 1;
    static_cast<void>(!::write(signal_.get(), &one, sizeof one));
  }

  bool broken() const { return broken_; }
  bool stopping() const { return stopping_; }
  int signal() const { return signal_.get(); }
  ClientLocks& locks() { return locks_; }
  LockGrants& grants() { return grants_; }
  Status outcome() const {
    std::lock_guard lock(mutex_);
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  ClientLocks locks_;
  LockGrants grants_;
  sys::Fd signal_;  // readable once stopping
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Error> error_;
  std::atomic<bool> broken_{false};
  bool unmounted_ = false;
  std::atomic<bool> stopping_{false};
};

}  // namespace cloister::share
