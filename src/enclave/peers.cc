#include "enclave/peers.h"

#include <poll.h>

#include <vector>

#include "share/control.h"

namespace cloister::enclave {

namespace {

share::ControlMessage begin_message(std::uint64_t job, const share::RunningJob& running) {
  return {.kind = share::ControlKind::begin_job,
          .flag = running.writes_all ? 1U : 0U,
          .session = job,
          .since = running.since};
}

}  // namespace

Result<std::vector<sys::Fd>> MonitorPeer::ask(const MonitorRequest& request, std::size_t wanted) {
  std::lock_guard lock(mutex_);
  TRY(socket_.send(request));
  MonitorReply reply;
  auto fds = TRY(socket_.receive(reply, wanted));
  if (reply.error.is_error()) return std::unexpected(reply.error.to_error());
  if (fds.size() != wanted)
    return fail(ErrorKind::internal, "the monitor sent {} descriptors, not {}", fds.size(), wanted);
  return fds;
}

Result<sys::MessageSocket> MonitorPeer::open_share(const ClientId& client) {
  auto request = std::make_unique<MonitorRequest>();
  request->call = MonitorCall::open_share;
  request->client = client;
  auto fds = TRY(ask(*request, 1));
  return sys::MessageSocket(std::move(fds[0]));
}

Result<MonitorPeer::StartedJob> MonitorPeer::start_job(const ClientId& client, const JobOrder& order) {
  auto request = std::make_unique<MonitorRequest>();
  request->call = MonitorCall::start_job;
  request->client = client;
  request->job = order;
  auto fds = TRY(ask(*request, 2));
  return StartedJob{sys::MessageSocket(std::move(fds[0])), std::move(fds[1])};
}

Result<Bytes> KeeperPeer::ask(const KeeperRequest& request) {
  std::lock_guard lock(mutex_);
  TRY(socket_.send(request));
  auto reply = std::make_unique<KeeperReply>();
  TRY(socket_.receive(*reply));
  if (reply->error.is_error()) return std::unexpected(reply->error.to_error());
  if (reply->document_size > sizeof reply->document)
    return fail(ErrorKind::internal, "the keeper's answer is malformed");
  return to_bytes(ByteView(reply->document).first(reply->document_size));
}

Result<Bytes> KeeperPeer::attest(const ByteArray<kNonceSize>& nonce, const crypto::Sha256& user_data) {
  KeeperRequest request;
  request.call = KeeperCall::attest;
  std::copy(nonce.begin(), nonce.end(), request.nonce);
  std::copy(user_data.begin(), user_data.end(), request.user_data);
  return ask(request);
}

Status KeeperPeer::hand_over(JobId job, const KmsAccess& access) {
  const auto& credentials = access.credentials;
  KeeperRequest request;
  request.call = KeeperCall::credentials;
  request.job = job;
  request.fips_endpoint = access.endpoint.fips ? 1 : 0;
  request.dualstack_endpoint = access.endpoint.dualstack ? 1 : 0;
  TRY(request.access_key_id.set(credentials.access_key_id, "access key id"));
  TRY(request.secret_access_key.set(as_text(credentials.secret_access_key.view()), "secret access key"));
  if (credentials.session_token)
    TRY(request.session_token.set(as_text(credentials.session_token->view()), "session token"));
  auto done = ask(request);
  wipe({reinterpret_cast<std::uint8_t*>(&request), sizeof request});
  TRY(std::move(done));
  return {};
}

void KeeperPeer::forget(JobId job) {
  KeeperRequest request;
  request.call = KeeperCall::forget;
  request.job = job;
  (void)ask(request).has_value();  // they expire by themselves
}

// One that was killed while nobody asked it anything has not been missed yet.
bool ShareServers::runs(const Server& server) {
  pollfd end{server.control.descriptor(), 0, 0};
  return ::poll(&end, 1, 0) >= 0 && (end.revents & (POLLHUP | POLLERR)) == 0;
}

// A server that is new beside jobs that run already. Nobody waits for its answers: the next question passes
// them over.
Status ShareServers::tell_of_jobs(const ClientId& client, Server& server) {
  for (const auto& [job, running] : jobs_[client]) {
    auto message = begin_message(job, running);
    message.id = ++server.last_id;
    TRY(server.control.send(message, {}, sys::Deadline::after(patience_)));
  }
  return {};
}

Status ShareServers::open(const ClientId& client) {
  std::lock_guard lock(mutex_);
  auto found = servers_.find(client);
  if (found != servers_.end() && !found->second->gone && runs(*found->second)) return {};
  auto server = std::make_shared<Server>();
  server->control = TRY(monitor_.open_share(client));
  TRY(tell_of_jobs(client, *server));
  if (found != servers_.end()) {
    std::lock_guard seen(seen_mutex_);
    add_traffic(ended_, found->second->seen.stats);
  }
  servers_.insert_or_assign(client, std::move(server));
  return {};
}

bool ShareServers::known(const ClientId& client) {
  std::lock_guard lock(mutex_);
  return servers_.contains(client);
}

Result<std::shared_ptr<ShareServers::Server>> ShareServers::find(const ClientId& client) {
  std::lock_guard lock(mutex_);
  auto found = servers_.find(client);
  if (found == servers_.end()) return fail(ErrorKind::not_found, "you have no shared folder in this enclave");
  return found->second;
}

// One question at a time, so the next reply is the answer to it. The caller holds the server's mutex.
Result<share::ControlReply> ShareServers::exchange(Server& server, share::ControlMessage message,
                                                   std::span<const int> fds, sys::milliseconds patience) {
  message.id = ++server.last_id;
  auto deadline = sys::Deadline::after(patience);
  auto sent = server.control.send(message, fds, deadline);
  if (!sent && !runs(server)) server.gone = true;
  TRY(std::move(sent));
  share::ControlReply reply;
  // A reply that came too late for an earlier question is passed over.
  do {
    TRY(server.control.receive(reply, 0, deadline));
  } while (reply.id < message.id);
  if (reply.id != message.id) return fail(ErrorKind::internal, "the share server answered another question");
  return reply;
}

Result<share::ControlReply> ShareServers::ask(Server& server, const share::ControlMessage& message,
                                              std::span<const int> fds) const {
  std::lock_guard lock(server.mutex);
  auto answered = exchange(server, message, fds, patience_);
  // One that is only slow has mounts, which would end with it.
  if (!answered && !runs(server)) server.gone = true;
  auto reply = TRY(std::move(answered));
  switch (reply.status) {
    case share::ControlStatus::ok:
      return reply;
    case share::ControlStatus::full:
      return fail(ErrorKind::exhausted, "the share has no room for another lane or mount");
    case share::ControlStatus::taken:
      return fail(ErrorKind::denied, "another mount has the share to itself");
    case share::ControlStatus::unconfirmed:
      return fail(ErrorKind::unavailable, "the client did not confirm in time");
    default:
      return fail(ErrorKind::internal, "the share server refused");
  }
}

Status ShareServers::add_lane(const LaneRight& right, const sys::Fd& connection) {
  auto server = TRY(find(right.client));
  auto kind = right.purpose == LanePurpose::requests ? share::ControlKind::add_lane
                                                     : share::ControlKind::add_notifier;
  int fd = connection.get();
  share::ControlMessage message{.kind = kind, .flag = right.exclusive ? 1U : 0U, .session = right.session};
  TRY(ask(*server, message, {&fd, 1}));
  return {};
}

// Not more than kShareStatsTimeout, and not at all while the server answers somebody else.
void ShareServers::look_at(Server& server) {
  std::unique_lock lock(server.mutex, std::try_to_lock);
  if (!lock || server.gone) return;
  auto reply = exchange(server, {.kind = share::ControlKind::stats}, {}, kShareStatsTimeout);
  if (!reply || reply->status != share::ControlStatus::ok) return;
  std::lock_guard seen(seen_mutex_);
  server.seen = *reply;
}

void ShareServers::add_traffic(Totals& totals, const share::ServerStats& stats) {
  totals.requests += stats.requests;
  totals.bytes_read += stats.bytes_read;
  totals.bytes_written += stats.bytes_written;
}

ShareServers::Totals ShareServers::totals() {
  std::vector<std::shared_ptr<Server>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [client, server] : servers_) all.push_back(server);
  }
  for (const auto& server : all) look_at(*server);
  std::lock_guard lock(mutex_);
  std::lock_guard seen(seen_mutex_);
  auto out = ended_;
  out.clients = servers_.size();
  for (const auto& [client, server] : servers_) {
    add_traffic(out, server->seen.stats);
    if (server->gone) continue;
    ++out.servers;
    out.mounts += server->seen.sessions;
    out.lanes += server->seen.lanes;
    out.inodes += server->seen.stats.inodes;
    out.handles += server->seen.stats.handles;
  }
  return out;
}

Status ShareServers::begin_job(const ClientId& client, std::uint64_t job, bool writes_all) {
  share::RunningJob running{.since = share::file_time_now(), .writes_all = writes_all};
  {
    std::lock_guard lock(mutex_);
    jobs_[client].emplace(job, running);
  }
  auto server = TRY(find(client));
  TRY(ask(*server, begin_message(job, running), {}));
  return {};
}

Status ShareServers::end_job(const ClientId& client, std::uint64_t job) {
  {
    std::lock_guard lock(mutex_);
    jobs_[client].erase(job);
  }
  auto server = TRY(find(client));
  TRY(ask(*server, {.kind = share::ControlKind::end_job, .session = job}, {}));
  return {};
}

Status ShareServers::check_room(const ClientId& client, bool exclusive) {
  auto server = TRY(find(client));
  auto seen = TRY(ask(*server, {.kind = share::ControlKind::stats}, {}));
  if (!seen.exclusive && seen.sessions >= share::kMaxSessions) {
    Error full(ErrorKind::exhausted,
               fmt::format("this folder is mounted {} times, as often as it can be", seen.sessions));
    return std::unexpected(std::move(full).with_hint("unmount one: cloister unsync -d DIR"));
  }
  if (seen.sessions == 0 || (!exclusive && !seen.exclusive)) return {};
  Error error(ErrorKind::denied,
              seen.exclusive ? "another mount has this folder to itself (--exclusive)"
                             : "the folder is mounted already, and --exclusive is for its only mount");
  return std::unexpected(std::move(error).with_hint("unmount the other: cloister unsync -d DIR"));
}

}  // namespace cloister::enclave
