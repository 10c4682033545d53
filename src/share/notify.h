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
  // A socket; none: there is nobody to tell. Ends the use of the lane before, whoever waits for it.
  void set(sys::Fd lane);
  // unavailable: not confirmed by the deadline; what was not sent by then goes first the next time. Or the
  // lane is lost: forged or cut confirmations, or more than kMaxUnsentBytes unsent.
  Status deliver(const std::vector<Bytes>& messages, sys::Deadline deadline);
  // Sends what earlier deliveries could not. unavailable: there is no room for it yet, nor for anything more.
  Status catch_up(sys::Deadline deadline);

 private:
  struct Lane {
    explicit Lane(sys::Fd fd) : stream(std::move(fd)) {}
    sys::FdStream stream;
    Bytes unsent;  // the rest of a message, and those after it
    bool broken = false;
  };
  std::shared_ptr<Lane> current();
  static Status send_unsent(Lane& lane, sys::Deadline deadline);
  static Status send_by(Lane& lane, sys::Deadline deadline, std::size_t& sent);
  static Status await_fence(Lane& lane, std::uint64_t number, sys::Deadline deadline);

  std::mutex delivering_;  // held while the client is waited for
  std::uint64_t fence_ = 0;
  std::mutex mutex_;  // of lane_ alone; taken last
  std::shared_ptr<Lane> lane_;
};

}  // namespace cloister::share
