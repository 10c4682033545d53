#include "share/control.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "share/limits.h"
#include "share/links.h"

namespace cloister::share {

namespace {

// Inodes and handles are descriptors: takes as many as the process may have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// What only grows.
void add_counts(ServerStats& sum, const ServerStats& one) {
  sum.requests += one.requests;
  sum.errors += one.errors;
  sum.malformed += one.malformed;
  sum.bytes_read += one.bytes_read;
  sum.bytes_written += one.bytes_written;
  sum.notifications += one.notifications;
}

// The mounts of one share and their lanes. The control loop adds lanes; every lane's thread removes itself.
class Sessions {
 public:
  Sessions(sys::Dir root, ServerOptions options) : root_(std::move(root)), options_(std::move(options)) {
    if (options_.host_made == nullptr) options_.host_made = std::make_shared<HostMade>();
  }
  ~Sessions() {
    {
      std::lock_guard lock(mutex_);
      for (auto& lane : lanes_) ::shutdown(lane.stream.descriptor(), SHUT_RDWR);
    }
    for (auto& lane : lanes_) lane.thread.join();
  }

  ControlStatus add_lane(std::uint64_t number, sys::Fd socket);
  ControlStatus add_notifier(std::uint64_t number, sys::Fd socket);
  ControlStatus invalidate();
  void count(ControlReply& reply);

 private:
  struct Session {
    std::shared_ptr<Server> server;
    std::size_t lanes = 0;
  };
  struct Lane {
    explicit Lane(sys::Fd socket) : stream(std::move(socket)) {}
    sys::FdStream stream;
    std::thread thread;
    std::atomic<bool> ended{false};
  };

  Result<std::shared_ptr<Server>> make_server() const;
  void reap();
  void serve(Lane& lane, const std::shared_ptr<Server>& server, std::uint64_t number);
  std::vector<std::shared_ptr<Server>> servers();

  std::mutex mutex_;
  sys::Dir root_;
  ServerOptions options_;
  std::map<std::uint64_t, Session> sessions_;
  std::list<Lane> lanes_;
  ServerStats ended_;  // of mounts that are no more
};

Result<std::shared_ptr<Server>> Sessions::make_server() const {
  auto duplicate = [](const sys::Dir& dir) -> Result<sys::Dir> {
    if (!dir) return sys::Dir();
    int copy = ::fcntl(dir.descriptor(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return fail_errno("duplicate a directory handle");
    return sys::Dir(sys::Fd(copy));
  };
  ServerOptions options{.proc_self_fd = TRY(duplicate(options_.proc_self_fd)),
                        .host_made = options_.host_made,
                        .max_inodes = options_.max_inodes / kMaxSessions,
                        .max_handles = options_.max_handles / kMaxSessions,
                        .max_lock_owners = options_.max_lock_owners / kMaxSessions};
  return std::shared_ptr<Server>(TRY(Server::create(TRY(duplicate(root_)), std::move(options))));
}

void Sessions::reap() {
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    if (!lane->ended) {
      ++lane;
      continue;
    }
    lane->thread.join();
    lane = lanes_.erase(lane);
  }
}

void Sessions::serve(Lane& lane, const std::shared_ptr<Server>& server, std::uint64_t number) {
  try {
    server->serve_lane(lane.stream);
  } catch (const std::exception&) {
    // Out of memory. The lane ends; the client sees it.
  }
  ::shutdown(lane.stream.descriptor(), SHUT_RDWR);
  std::lock_guard lock(mutex_);
  auto session = sessions_.find(number);
  if (session != sessions_.end() && --session->second.lanes == 0) {
    add_counts(ended_, server->stats());
    sessions_.erase(session);
  }
  lane.ended = true;
}

ControlStatus Sessions::add_lane(std::uint64_t number, sys::Fd socket) {
  std::lock_guard lock(mutex_);
  reap();
  auto session = sessions_.find(number);
  if (session == sessions_.end()) {
    if (sessions_.size() >= kMaxSessions) return ControlStatus::full;
    auto server = make_server();
    if (!server) return ControlStatus::failed;
    session = sessions_.emplace(number, Session{.server = *std::move(server)}).first;
  }
  if (session->second.lanes >= kMaxLanes) return ControlStatus::full;
  ++session->second.lanes;
  auto& lane = lanes_.emplace_back(std::move(socket));
  lane.thread = std::thread([this, &lane, server = session->second.server, number]() mutable {
    serve(lane, server, number);
    server.reset();
  });
  return ControlStatus::ok;
}

ControlStatus Sessions::add_notifier(std::uint64_t number, sys::Fd socket) {
  std::shared_ptr<Server> server;
  {
    std::lock_guard lock(mutex_);
    auto session = sessions_.find(number);
    if (session == sessions_.end()) return ControlStatus::invalid;
    server = session->second.server;
  }
  server->set_notifier(std::move(socket));
  return ControlStatus::ok;
}

std::vector<std::shared_ptr<Server>> Sessions::servers() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Server>> out;
  for (const auto& [number, session] : sessions_) out.push_back(session.server);
  return out;
}

ControlStatus Sessions::invalidate() {
  auto status = ControlStatus::ok;
  auto deadline = sys::Deadline::after(kInvalidateTimeout);
  for (const auto& server : servers()) {
    if (!server->invalidate_changed(deadline)) status = ControlStatus::unconfirmed;
  }
  return status;
}

void Sessions::count(ControlReply& reply) {
  std::lock_guard lock(mutex_);
  reap();
  reply.stats = ended_;
  for (const auto& [number, session] : sessions_) {
    auto one = session.server->stats();
    add_counts(reply.stats, one);
    reply.stats.inodes += one.inodes;
    reply.stats.handles += one.handles;
    reply.stats.locks += one.locks;
  }
  reply.sessions = sessions_.size();
  reply.lanes = lanes_.size();
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

  bool enqueue(std::uint64_t id) {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxPendingInvalidations) return false;
    waiting_.push_back(id);
    wake_.notify_one();
    return true;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      auto id = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      ControlReply reply{.kind = ControlKind::invalidate, .status = sessions_.invalidate(), .id = id};
      // A failure to send means that the control socket closed: the loop sees it too.
      static_cast<void>(control_.send(reply).has_value());
      lock.lock();
    }
  }

  Sessions& sessions_;
  const sys::MessageSocket& control_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::uint64_t> waiting_;
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
      reply.status = sessions.add_lane(message.session, std::move(fds->front()));
    } else if (message.kind == ControlKind::add_notifier) {
      reply.status = sessions.add_notifier(message.session, std::move(fds->front()));
    } else if (message.kind == ControlKind::stats) {
      sessions.count(reply);
    } else if (message.kind != ControlKind::invalidate) {
      reply.status = ControlStatus::invalid;
    } else if (invalidator.enqueue(message.id)) {
      continue;  // answered when it is done
    } else {
      reply.status = ControlStatus::full;
    }
    if (!control.send(reply)) return 0;
  }
}

}  // namespace cloister::share
