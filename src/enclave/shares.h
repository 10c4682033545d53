// The clients' shares: a tmpfs, a block of user ids and a share server for each. Owned by the monitor; one
// thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "enclave/messages.h"
#include "enclave/share_budget.h"
#include "enclave/share_walls.h"
#include "sandbox/wall.h"
#include "sys/clock.h"
#include "sys/process.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxClients = 32;
inline constexpr uid_t kFirstShareUser = 1U << 20;  // client k owns the ids from here + k * kShareIds

class Shares {
 public:
  struct Options {
    std::string directory;           // the shares are mounted below it
    std::string work_path;           // an empty directory that a server may build its root on
    std::uint64_t bytes = 0;         // quota of each
    std::uint64_t budget_bytes = 0;  // for all of them together
    sandbox::WallSet required_walls;
  };
  Shares(Options options, const Log& log)
      : options_(std::move(options)), budget_(options_.budget_bytes, options_.bytes), log_(log) {}

  // The share of a client, made on first use with its folders and its greeting; its server is started
  // anew. Returns the server's control channel. exhausted: too many clients, or no memory is left for
  // another.
  Result<sys::MessageSocket> open(const ClientId& client);

  struct Place {
    std::string path;
    uid_t owner = 0;
  };
  // not_found: this client has opened none.
  Result<Place> find(const ClientId& client) const;

  // How long the caller may wait before it calls balance() again; none: it need not.
  std::optional<sys::milliseconds> balance_interval() const;
  // Sets each share's limits by what all of them hold now.
  void balance();

  // If this ended process was a share's server: waits for it, so that no zombie stays.
  bool reap(pid_t pid);

 private:
  struct Share {
    Place place;
    ShareSpace limit;  // that its tmpfs has now
    sys::Child server;
  };
  Result<Share*> make(const ClientId& client);

  std::vector<ShareSpace> spaces() const;
  Result<ShareSpace> first_limit() const;

  Options options_;
  ShareBudget budget_;
  const Log& log_;
  std::map<ClientId, Share> shares_;
  std::vector<ShareSpace> seen_;  // by balance()
  sys::Deadline quiet_from_ = sys::Deadline::after({});
  sys::milliseconds interval_ = kBalanceInterval;
};

}  // namespace cloister::enclave
