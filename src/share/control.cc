#include "share/control.h"

#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "share/limits.h"
#include "share/sessions.h"

namespace cloister::share {

namespace {

// Inodes and handles are descriptors: takes as many as the process may have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Invalidations wait for clients; this thread does the waiting, so that the control loop does not.
class Invalidator {
 public:
  Invalidator(Sessions& sessions, const sys::MessageSocket& control)
      : sessions_(sessions), control_(control), thread_([this] { run(); }) {}
  ~Invalidator() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  // The kind is invalidate or end_job.
  bool enqueue(const ControlMessage& asker) {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxPendingInvalidations) return false;
    waiting_.push_back(asker);
    wake_.notify_one();
    return true;
  }

  // A mount or a job has come.
  void look() {
    std::lock_guard lock(mutex_);
    looked_ = true;
    wake_.notify_one();
  }

 private:
  using Pause = std::chrono::nanoseconds;

  void run() {
    std::unique_lock lock(mutex_);
    std::optional<Pause> pause;  // nothing to watch
    while (!ending_) {
      auto called = [this] { return ending_ || looked_ || !waiting_.empty(); };
      bool woken = true;
      if (pause) {
        woken = wake_.wait_for(lock, *pause, called);
      } else {
        wake_.wait(lock, called);
      }
      if (ending_) return;
      if (std::exchange(looked_, false)) pause = kWatchInterval;
      if (woken && waiting_.empty()) continue;
      auto asker = woken ? std::optional(waiting_.front()) : std::nullopt;
      if (woken) waiting_.pop_front();
      lock.unlock();
      if (asker) {
        answer(*asker);
      } else {
        pause = watch();
      }
      lock.lock();
    }
  }

  void answer(const ControlMessage& asker) {
    ControlReply reply{.kind = asker.kind, .status = invalidate(kInvalidateTimeout), .id = asker.id};
    if (asker.kind == ControlKind::end_job) sessions_.end_job(asker.session);
    // A failure to send means that the control socket closed: the loop sees it too.
    static_cast<void>(control_.send(reply).has_value());
  }

  // For how long to rest; nullopt when there is nothing to watch any more.
  std::optional<Pause> watch() {
    if (!sessions_.watched()) return std::nullopt;
    Pause compared{0};
    // What is not confirmed in time has been sent, or will be the next time.
    static_cast<void>(invalidate(kWatchTimeout, &compared));
    return std::clamp<Pause>(compared * kWatchShare, kWatchInterval, kMaxWatchPause);
  }

  // Memory may run out for a moment; what changed shows later then.
  ControlStatus invalidate(sys::milliseconds patience, Pause* compared = nullptr) {
    try {
      return sessions_.invalidate(patience, compared);
    } catch (const std::exception&) {
      return ControlStatus::unconfirmed;
    }
  }

  Sessions& sessions_;
  const sys::MessageSocket& control_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ControlMessage> waiting_;
  bool looked_ = false;
  bool ending_ = false;
  std::thread thread_;
};

bool is_known(ControlKind kind) {
  return kind >= ControlKind::add_lane && kind <= ControlKind::end_job;
}

// The reply, unless it comes later: to `invalidate` and `end_job`.
std::optional<ControlReply> handle(Sessions& sessions, Invalidator& invalidator,
                                   const ControlMessage& message, std::vector<sys::Fd> fds) {
  ControlReply reply{.kind = message.kind, .id = message.id};
  bool adds = message.kind == ControlKind::add_lane || message.kind == ControlKind::add_notifier;
  if (fds.size() != (adds ? 1U : 0U) || !is_known(message.kind)) {
    reply.status = ControlStatus::invalid;
  } else if (message.kind == ControlKind::add_lane) {
    reply.status = sessions.add_lane(message.session, message.flag == 1, std::move(fds.front()));
    invalidator.look();
  } else if (message.kind == ControlKind::add_notifier) {
    reply.status = sessions.add_notifier(message.session, std::move(fds.front()));
  } else if (message.kind == ControlKind::stats) {
    sessions.count(reply);
  } else if (message.kind == ControlKind::begin_job) {
    reply.status =
        sessions.begin_job(message.session, {.since = message.since, .writes_all = message.flag == 1});
    invalidator.look();
  } else if (invalidator.enqueue(message)) {
    return std::nullopt;  // answered when it is done
  } else {
    reply.status = ControlStatus::full;
  }
  return reply;
}

}  // namespace

int run_server(sys::MessageSocket control, sys::Dir root, ServerOptions options) {
  raise_descriptor_limit();
  Sessions sessions(std::move(root), std::move(options));
  Invalidator invalidator(sessions, control);
  for (;;) {
    ControlMessage message;
    auto fds = control.receive(message, 1);
    // Running out of descriptors or memory is one message's misfortune: it must not end the mounts.
    std::optional<ControlReply> reply =
        ControlReply{.kind = message.kind, .status = ControlStatus::full, .id = message.id};
    try {
      if (fds) {
        reply = handle(sessions, invalidator, message, *std::move(fds));
      } else if (fds.error().kind() != ErrorKind::exhausted) {
        return fds.error().kind() == ErrorKind::unavailable ? 0 : 1;
      }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
      // The reply is `full` already.
    }
    if (!reply) continue;
    if (!control.send(*reply)) return 0;
  }
}

}  // namespace cloister::share
