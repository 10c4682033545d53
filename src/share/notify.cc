#include "share/notify.h"

#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "fuse/notification.h"
#include "share/limits.h"

namespace cloister::share {

// A delivery in progress keeps the old lane alive, and finds it shut.
void Notifier::set(sys::Fd lane) {
  auto fresh = lane ? std::make_shared<Lane>(std::move(lane)) : nullptr;
  std::lock_guard lock(mutex_);
  if (lane_ != nullptr) ::shutdown(lane_->stream.descriptor(), SHUT_RDWR);
  lane_ = std::move(fresh);
}

std::shared_ptr<Notifier::Lane> Notifier::current() {
  std::lock_guard lock(mutex_);
  return lane_;
}

Status Notifier::deliver(const std::vector<Bytes>& messages, sys::Deadline deadline) {
  std::lock_guard lock(delivering_);
  auto lane = current();
  if (lane == nullptr) return {};
  if (!lane->broken) {
    for (const auto& message : messages) append(lane->unsent, message);
    append(lane->unsent, fuse::encode_fence(++fence_));
  }
  TRY(send_unsent(*lane, deadline));
  return await_fence(*lane, fence_, deadline);
}

Status Notifier::catch_up(sys::Deadline deadline) {
  std::lock_guard lock(delivering_);
  auto lane = current();
  if (lane == nullptr) return {};
  return send_unsent(*lane, deadline);
}

// A client may stop reading for a while: its program was stopped, its machine slept.
Status Notifier::send_unsent(Lane& lane, sys::Deadline deadline) {
  if (lane.broken) return fail(ErrorKind::unavailable, "the client stopped reading its invalidations");
  std::size_t sent = 0;
  auto done = send_by(lane, deadline, sent);
  lane.unsent.erase(lane.unsent.begin(), lane.unsent.begin() + static_cast<std::ptrdiff_t>(sent));
  if (lane.unsent.size() > kMaxUnsentBytes) {
    lane.broken = true;
    lane.unsent = {};
  }
  return done;
}

Status Notifier::send_by(Lane& lane, sys::Deadline deadline, std::size_t& sent) {
  while (sent < lane.unsent.size()) {
    auto some = TRY(lane.stream.write_what_fits(ByteView(lane.unsent).subspan(sent)));
    sent += some;
    if (some == 0) TRY(sys::wait_for(lane.stream.descriptor(), POLLOUT, deadline, "send invalidations"));
  }
  return {};
}

// Fences of earlier deliveries that gave up waiting may come first.
Status Notifier::await_fence(Lane& lane, std::uint64_t number, sys::Deadline deadline) {
  ByteArray<fuse::kFenceBytes> bytes;
  lane.stream.set_deadline(deadline);
  for (;;) {
    // A deadline between two fences leaves the lane usable; one inside a fence does not.
    TRY(sys::wait_for(lane.stream.descriptor(), POLLIN, deadline, "confirm invalidations"));
    lane.broken = true;
    TRY(sys::read_exactly(lane.stream, bytes));
    auto seen = TRY(fuse::decode_fence(bytes));
    if (seen > number) return fail(ErrorKind::invalid, "the client confirmed what was not sent");
    lane.broken = false;
    if (seen == number) return {};
  }
}

}  // namespace cloister::share
