// The listener's side of its channels to the other processes of the enclave. Each is one request and one
// answer at a time; thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "enclave/kms_access.h"
#include "enclave/messages.h"
#include "enclave/tickets.h"
#include "share/control.h"

namespace cloister::enclave {

inline constexpr sys::milliseconds kShareReplyTimeout = sys::seconds(20);
inline constexpr sys::milliseconds kShareStatsTimeout = sys::milliseconds(500);  // of each server

class MonitorPeer {
 public:
  explicit MonitorPeer(sys::MessageSocket socket) : socket_(std::move(socket)) {}

  // The control channel of this client's share server, started if need be.
  Result<sys::MessageSocket> open_share(const ClientId& client);

  struct StartedJob {
    sys::MessageSocket launcher;
    sys::Fd standard_output;
  };
  Result<StartedJob> start_job(const ClientId& client, const JobOrder& order);

 private:
  Result<std::vector<sys::Fd>> ask(const MonitorRequest& request, std::size_t wanted);
  std::mutex mutex_;
  sys::MessageSocket socket_;
};

class KeeperPeer {
 public:
  explicit KeeperPeer(sys::MessageSocket socket) : socket_(std::move(socket)) {}

  Result<Bytes> attest(const ByteArray<kNonceSize>& nonce, const crypto::Sha256& user_data);
  Status hand_over(JobId job, const KmsAccess& access);
  // Of a job that was refused after all.
  void forget(JobId job);

 private:
  Result<Bytes> ask(const KeeperRequest& request);
  std::mutex mutex_;
  sys::MessageSocket socket_;
};

// The share servers that are known to run, by client.
class ShareServers {
 public:
  // patience: how long a share server may take to answer.
  explicit ShareServers(MonitorPeer& monitor, sys::milliseconds patience = kShareReplyTimeout)
      : monitor_(monitor), patience_(patience) {}

  Status open(const ClientId& client);
  bool known(const ClientId& client);
  // exhausted: no room for this lane or its mount. denied: another mount has the share to itself.
  Status add_lane(const LaneRight& right, const sys::Fd& connection);
  // While a job runs, what changes in its client's share is pushed to the client's kernels. `job`: a number
  // that no other running job has. `writes_all`: it may write elsewhere than to output/.
  Status begin_job(const ClientId& client, std::uint64_t job, bool writes_all);
  // Returns when the client's kernels have been told of all that the job has changed.
  Status end_job(const ClientId& client, std::uint64_t job);
  // denied: a mount has the share to itself, or wants to while there is another. exhausted: no room for one
  // more.
  Status check_room(const ClientId& client, bool exclusive);

  // Sums over all clients. A server that is busy or slow counts as it was last seen: nobody waits for another
  // client's share.
  struct Totals {
    std::uint64_t clients = 0;
    std::uint64_t servers = 0;
    std::uint64_t mounts = 0;
    std::uint64_t lanes = 0;
    std::uint64_t inodes = 0;
    std::uint64_t handles = 0;
    std::uint64_t requests = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
  };
  Totals totals();

 private:
  struct Server {
    std::mutex mutex;
    sys::MessageSocket control;
    std::uint64_t last_id = 0;
    std::atomic<bool> gone = false;  // its process has died: the next open() asks for another
    share::ControlReply seen;        // its latest counts; under seen_mutex_
  };
  static Result<share::ControlReply> exchange(Server& server, share::ControlMessage message,
                                              std::span<const int> fds, sys::milliseconds patience);
  Result<share::ControlReply> ask(Server& server, const share::ControlMessage& message,
                                  std::span<const int> fds) const;
  Result<std::shared_ptr<Server>> find(const ClientId& client);
  static bool runs(const Server& server);
  Status tell_of_jobs(const ClientId& client, Server& server);
  void look_at(Server& server);
  static void add_traffic(Totals& totals, const share::ServerStats& stats);

  MonitorPeer& monitor_;
  const sys::milliseconds patience_;
  std::mutex mutex_;
  std::map<ClientId, std::shared_ptr<Server>> servers_;
  std::map<ClientId, std::map<std::uint64_t, share::RunningJob>> jobs_;
  std::mutex seen_mutex_;  // taken last
  Totals ended_;           // traffic of servers that were replaced
};

}  // namespace cloister::enclave
