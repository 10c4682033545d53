#include "share/notify.h"

#include <poll.h>

#include "fuse/notification.h"

namespace cloister::share {

void Notifier::set(std::unique_ptr<sys::Stream> lane) {
  std::lock_guard lock(mutex_);
  lane_ = std::move(lane);
  broken_ = false;
}

Status Notifier::deliver(const std::vector<Bytes>& messages, sys::Deadline deadline) {
  std::lock_guard lock(mutex_);
  if (lane_ == nullptr) return {};
  if (broken_) return fail(ErrorKind::unavailable, "the client stopped reading its invalidations");
  Bytes all;
  for (const auto& message : messages) append(all, message);
  append(all, fuse::encode_fence(++fence_));
  lane_->set_deadline(deadline);
  if (auto sent = lane_->write_all(all); !sent) {
    broken_ = true;  // a part of a message may have gone: nothing after it would be understood
    return sent;
  }
  return await_fence(fence_, deadline);
}

// Fences of earlier deliveries that gave up waiting may come first.
Status Notifier::await_fence(std::uint64_t number, sys::Deadline deadline) {
  ByteArray<fuse::kFenceBytes> bytes;
  for (;;) {
    // A deadline between two fences leaves the lane usable; one inside a fence does not.
    TRY(sys::wait_for(lane_->descriptor(), POLLIN, deadline, "confirm invalidations"));
    broken_ = true;
    TRY(sys::read_exactly(*lane_, bytes));
    auto seen = TRY(fuse::decode_fence(bytes));
    if (seen > number) return fail(ErrorKind::invalid, "the client confirmed what was not sent");
    broken_ = false;
    if (seen == number) return {};
  }
}

}  // namespace cloister::share
