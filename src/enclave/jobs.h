// Jobs as the listener knows them: who ordered them, what state they are in, what they have said.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "enclave/event_log.h"
#include "enclave/order.h"
#include "enclave/peers.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxRunningJobsPerClient = 64;
inline constexpr std::size_t kMaxRunningJobs = 128;  // of all clients
inline constexpr std::size_t kMaxJobsPerClient =
    128;  // running and remembered; the oldest ended ones are forgotten first
inline constexpr std::size_t kMaxEndedEventBytes = 16 * 1024 * 1024;  // of a client's ended jobs, likewise

// A snapshot of one job.
struct JobView {
  JobId id = 0;
  std::string package;
  std::string entry;
  std::string output;
  JobState state = JobState::starting;
  std::string name;
  std::string release;
  std::optional<crypto::Sha256> signer;
  std::string weaker;  // walls that this kernel or host lacks
  std::string notice;  // what the caller should know of the key's release
  std::optional<int> exit_code;
  std::optional<Error> error;
};

class Job;

// Owned by the listener; thread-safe.
class JobTable {
 public:
  JobTable(MonitorPeer& monitor, ShareServers& shares, const Log& log)
      : monitor_(monitor), shares_(shares), log_(log) {}
  ~JobTable();

  // Starts a job that the client ordered; its output is followed by a thread of its own.
  // exhausted: too many. denied: the output directory is another job's and share_output is false.
  Result<JobView> start(const ClientId& client, const PostedJob& posted);
  std::vector<JobView> list(const ClientId& client);
  Result<JobView> view(const ClientId& client, JobId id);
  Result<JobView> cancel(const ClientId& client, JobId id);
  // Gives every event, from the oldest kept to the last, to the callback, until that fails.
  Status follow(const ClientId& client, JobId id, const std::function<Status(std::string_view)>& on_event);

  struct Totals {
    std::uint64_t started = 0;
    std::uint64_t running = 0;
    std::uint64_t exited = 0;  // these three: forgotten ones included
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t event_bytes = 0;  // kept now

    void count(JobState state);
  };
  Totals totals();

 private:
  // What a job takes up from the moment it is admitted.
  struct Place {
    JobId id = 0;
    ClientId client{};
    std::string output;
    bool shares_output = false;
  };
  // A place among starting_, given back at the end of its scope.
  class Reserved {
   public:
    Reserved(JobTable& table, std::uint64_t number) : table_(&table), number_(number) {}
    Reserved(Reserved&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), number_(other.number_) {}
    Reserved& operator=(Reserved&&) = delete;
    ~Reserved();
    std::uint64_t number() const { return number_; }

   private:
    JobTable* table_;
    std::uint64_t number_;
  };

  Result<std::shared_ptr<Job>> find(const ClientId& client, JobId id);
  std::vector<Place> places() const;
  Status admit(const Place& wanted) const;
  Result<Reserved> reserve(const ClientId& client, const PostedJob& posted);
  Result<std::shared_ptr<Job>> launch(const ClientId& client, const PostedJob& posted, std::uint64_t number);
  void forget_oldest(const ClientId& client);
  std::vector<std::shared_ptr<Job>> jobs_of(const ClientId& client) const;  // the newest first

  MonitorPeer& monitor_;
  ShareServers& shares_;
  const Log& log_;
  std::mutex mutex_;
  std::map<JobId, std::shared_ptr<Job>> jobs_;
  std::map<std::uint64_t, Place> starting_;  // by number: admitted, and not among jobs_ yet
  std::uint64_t started_ = 0;
  Totals forgotten_;
};

}  // namespace cloister::enclave
