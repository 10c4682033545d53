#include "share/sessions.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <system_error>

#include "share/limits.h"
#include "share/links.h"

namespace cloister::share {

namespace {

// What only grows.
void add_counts(ServerStats& sum, const ServerStats& one) {
  sum.requests += one.requests;
  sum.errors += one.errors;
  sum.malformed += one.malformed;
  sum.bytes_read += one.bytes_read;
  sum.bytes_written += one.bytes_written;
  sum.notifications += one.notifications;
}

}  // namespace

std::int64_t file_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

Sessions::Sessions(sys::Dir root, ServerOptions options)
    : root_(std::move(root)), options_(std::move(options)) {
  if (options_.host_made == nullptr) options_.host_made = std::make_shared<HostMade>();
}

Sessions::~Sessions() {
  {
    std::lock_guard lock(mutex_);
    for (auto& lane : lanes_) ::shutdown(lane.stream.descriptor(), SHUT_RDWR);
  }
  for (auto& lane : lanes_) lane.thread.join();
}

Result<std::shared_ptr<Server>> Sessions::make_server(bool exclusive) const {
  auto duplicate = [](const sys::Dir& dir) -> Result<sys::Dir> {
    if (!dir) return sys::Dir();
    int copy = ::fcntl(dir.descriptor(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return fail_errno("duplicate a directory handle");
    return sys::Dir(sys::Fd(copy));
  };
  ServerOptions options{.proc_self_fd = TRY(duplicate(options_.proc_self_fd)),
                        .host_made = options_.host_made,
                        .exclusive = exclusive,
                        .mounts = kMaxSessions,
                        .max_inodes = options_.max_inodes,
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
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // Out of memory. The lane ends; the client sees it.
  }
  ::shutdown(lane.stream.descriptor(), SHUT_RDWR);
  std::lock_guard lock(mutex_);
  auto session = sessions_.find(number);
  if (session != sessions_.end() && --session->second.lanes == 0) {
    add_counts(ended_, server->stats());
    sessions_.erase(session);
    tell_company();
  }
  lane.ended = true;
}

// A mount that has the share to itself lets nobody else in, and is let in only where nobody is.
ControlStatus Sessions::admit(bool exclusive) const {
  if (sessions_.size() >= kMaxSessions) return ControlStatus::full;
  for (const auto& [number, session] : sessions_) {
    if (exclusive || session.exclusive) return ControlStatus::taken;
  }
  return ControlStatus::ok;
}

ControlStatus Sessions::add_lane(std::uint64_t number, bool exclusive, sys::Fd socket) {
  std::lock_guard lock(mutex_);
  reap();
  auto session = sessions_.find(number);
  if (session == sessions_.end()) {
    if (auto admitted = admit(exclusive); admitted != ControlStatus::ok) return admitted;
    auto server = make_server(exclusive);
    if (!server) return ControlStatus::failed;
    session =
        sessions_.emplace(number, Session{.server = *std::move(server), .lanes = 0, .exclusive = exclusive})
            .first;
    tell_company();
  }
  auto status = start_lane(number, session->second, std::move(socket));
  if (session->second.lanes == 0) {
    sessions_.erase(session);
    tell_company();
  }
  return status;
}

ControlStatus Sessions::start_lane(std::uint64_t number, Session& session, sys::Fd socket) {
  if (session.lanes >= kMaxLanes) return ControlStatus::full;
  auto before = lanes_.size();
  try {
    auto& lane = lanes_.emplace_back(std::move(socket));
    lane.thread = std::thread([this, &lane, server = session.server, number]() mutable {
      serve(lane, server, number);
      server.reset();
    });
  } catch (const std::exception&) {  // no thread or no memory; that is no reason to end the other lanes
    if (lanes_.size() > before) lanes_.pop_back();
    return ControlStatus::full;
  }
  ++session.lanes;
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
  out.reserve(sessions_.size());
  for (const auto& [number, session] : sessions_) out.push_back(session.server);
  return out;
}

// Once or twice: a new server may hear of a job from whoever started it and from whoever started the server.
ControlStatus Sessions::begin_job(std::uint64_t number, const RunningJob& job) {
  std::lock_guard lock(mutex_);
  if (jobs_.size() >= kMaxWatchedJobs && !jobs_.contains(number)) return ControlStatus::full;
  jobs_.emplace(number, job);
  tell_company();
  return ControlStatus::ok;
}

void Sessions::end_job(std::uint64_t number) {
  std::lock_guard lock(mutex_);
  jobs_.erase(number);
  tell_company();
}

void Sessions::tell_company() {
  Company company{.mounts = std::max<std::size_t>(sessions_.size(), 1)};
  for (const auto& [number, job] : jobs_) {
    company.jobs_since = std::min(company.jobs_since, job.since);
    company.jobs_write_all = company.jobs_write_all || job.writes_all;
  }
  for (const auto& [number, session] : sessions_) session.server->know(company);
}

bool Sessions::watched() {
  std::lock_guard lock(mutex_);
  return sessions_.size() > 1 || (!sessions_.empty() && !jobs_.empty());
}

ControlStatus Sessions::invalidate(sys::milliseconds patience, std::chrono::nanoseconds* compared) {
  auto all = servers();
  std::vector<std::chrono::nanoseconds> took(all.size());
  std::atomic<bool> confirmed = true;
  auto tell = [&](std::size_t i) {
    try {
      if (!all[i]->invalidate_changed(sys::Deadline::after(patience), &took[i])) confirmed = false;
    } catch (const std::exception&) {  // no memory; the next turn may have some
      confirmed = false;
    }
  };
  {
    // A thread each: one whose client stands still must not keep the others from their changes.
    std::vector<std::jthread> others;
    others.reserve(all.size());
    for (std::size_t i = 1; i < all.size(); ++i) {
      try {
        others.emplace_back(tell, i);
      } catch (const std::system_error&) {
        tell(i);
      }
    }
    if (!all.empty()) tell(0);
  }
  if (compared != nullptr && !took.empty()) *compared = *std::max_element(took.begin(), took.end());
  return confirmed ? ControlStatus::ok : ControlStatus::unconfirmed;
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
  for (const auto& [number, session] : sessions_) reply.exclusive = reply.exclusive || session.exclusive;
}

}  // namespace cloister::share
