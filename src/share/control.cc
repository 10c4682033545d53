#include "share/control.h"

#include <sys/resource.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

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
    watching_ = true;
    wake_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!watching_) wake_.wait(lock, [this] { return ending_ || watching_ || !waiting_.empty(); });
      bool asked = wake_.wait_for(lock, pause_, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      if (!asked) {
        lock.unlock();
        bool goes_on = watch();
        lock.lock();
        watching_ = goes_on;
        continue;
      }
      auto asker = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      ControlReply reply{.kind = asker.kind,
                         .status = sessions_.invalidate(sys::Deadline::after(kInvalidateTimeout)),
                         .id = asker.id};
      if (asker.kind == ControlKind::end_job) sessions_.end_job(asker.session);
      // A failure to send means that the control socket closed: the loop sees it too.
      static_cast<void>(control_.send(reply).has_value());
      lock.lock();
    }
  }

  // False when there is nothing to watch any more.
  bool watch() {
    if (!sessions_.watched()) return false;
    auto started = std::chrono::steady_clock::now();
    // Who does not confirm in time is told again the next time.
    static_cast<void>(sessions_.invalidate(sys::Deadline::after(kInvalidateTimeout)));
    auto took = std::chrono::steady_clock::now() - started;
    pause_ = std::max<std::chrono::nanoseconds>(kWatchInterval, took * kWatchShare);
    return true;
  }

  Sessions& sessions_;
  const sys::MessageSocket& control_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ControlMessage> waiting_;
  std::chrono::nanoseconds pause_ = kWatchInterval;
  bool watching_ = false;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace

int run_server(sys::MessageSocket control, sys::Dir root, ServerOptions options) {
  raise_descriptor_limit();
  Sessions sessions(std::move(root), std::move(options));
  Invalidator invalidator(sessions, control);
  for (;;) {
    ControlMessage message;
    auto fds = control.receive(message, 1);
    if (!fds) return fds.error().kind() == ErrorKind::unavailable ? 0 : 1;
    ControlReply reply{.kind = message.kind, .id = message.id};
    bool adds = message.kind == ControlKind::add_lane || message.kind == ControlKind::add_notifier;
    if (fds->size() != (adds ? 1U : 0U)) {
      reply.status = ControlStatus::invalid;
    } else if (message.kind == ControlKind::add_lane) {
      reply.status = sessions.add_lane(message.session, message.flag == 1, std::move(fds->front()));
      invalidator.look();
    } else if (message.kind == ControlKind::add_notifier) {
      reply.status = sessions.add_notifier(message.session, std::move(fds->front()));
    } else if (message.kind == ControlKind::stats) {
      sessions.count(reply);
    } else if (message.kind == ControlKind::begin_job) {
      reply.status = sessions.begin_job(message.session, message.flag == 1);
      invalidator.look();
    } else if (message.kind != ControlKind::invalidate && message.kind != ControlKind::end_job) {
      reply.status = ControlStatus::invalid;
    } else if (invalidator.enqueue(message)) {
      continue;  // answered when it is done
    } else {
      reply.status = ControlStatus::full;
    }
    if (!control.send(reply)) return 0;
  }
}

}  // namespace cloister::share
