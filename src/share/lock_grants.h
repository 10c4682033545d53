// Locks that were granted while others use the share. What this machine's kernel has cached of such a file
// may be older than the lock: it is dropped first, and then whoever waits for the lock is told. Dropping may
// wait for pages whose READ a request lane is about to answer, so that no request lane may do it: this has a
// thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/bytes.h"

namespace cloister::share {

// Owned by a pump. Thread-safe.
class LockGrants {
 public:
  LockGrants();
  ~LockGrants();

  // Delivers what waits, and ends the thread. While the request lanes still run, for it may need one of them.
  void stop();

  // `reply`: what the kernel is to get, on that device descriptor, once it has dropped its copy of the file.
  // Bounded by the lock requests that the kernel has outstanding, and so by the programs that make them.
  void deliver(int device, std::uint64_t node, Bytes reply);

 private:
  struct Grant {
    int device;
    Bytes drop;
    Bytes reply;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Grant> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace cloister::share
