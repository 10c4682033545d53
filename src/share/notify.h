// Notifier: the enclave's end of the notification lane. Thread-safe; owned by a Server.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "sys/stream.h"

namespace cloister::share {

// Sends invalidations and waits until the client confirms them.
class Notifier {
 public:
  void set(std::unique_ptr<sys::Stream> lane);
  // unavailable: not confirmed by the deadline; or an earlier message was cut short, which ends the lane's
  // use.
  Status deliver(const std::vector<Bytes>& messages, sys::Deadline deadline);

 private:
  Status await_fence(std::uint64_t number, sys::Deadline deadline);
  std::mutex mutex_;
  std::unique_ptr<sys::Stream> lane_;
  bool broken_ = false;
  std::uint64_t fence_ = 0;
};

}  // namespace cloister::share
