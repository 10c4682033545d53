// The mounts of one share, their lanes, and the jobs that use it: what the share server's process keeps.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "share/control.h"
#include "share/server.h"

namespace cloister::share {

// Thread-safe: the control loop adds lanes and jobs, every lane's thread removes itself.
class Sessions {
 public:
  Sessions(sys::Dir root, ServerOptions options);
  ~Sessions();

  ControlStatus add_lane(std::uint64_t number, bool exclusive, sys::Fd socket);
  ControlStatus add_notifier(std::uint64_t number, sys::Fd socket);
  ControlStatus begin_job(std::uint64_t number, const RunningJob& job);
  // After the last invalidation of that job's changes.
  void end_job(std::uint64_t number);
  // Tells every mount what has changed, all at once. unconfirmed: one of them took longer than `patience`.
  // compared, if given: how long the slowest took to be compared, without the waiting for its client.
  ControlStatus invalidate(sys::milliseconds patience, std::chrono::nanoseconds* compared = nullptr);
  // Whether changes may come from elsewhere at any moment: from a job, or from another mount.
  bool watched();
  void count(ControlReply& reply);

 private:
  struct Session {
    std::shared_ptr<Server> server;
    std::size_t lanes = 0;
    bool exclusive = false;
  };
  struct Lane {
    explicit Lane(sys::Fd socket) : stream(std::move(socket)) {}
    sys::FdStream stream;
    std::thread thread;
    std::atomic<bool> ended{false};
  };

  Result<std::shared_ptr<Server>> make_server(bool exclusive) const;
  ControlStatus admit(bool exclusive) const;
  ControlStatus start_lane(std::uint64_t number, Session& session, sys::Fd socket);
  void tell_company();
  void reap();
  void serve(Lane& lane, const std::shared_ptr<Server>& server, std::uint64_t number);
  std::vector<std::shared_ptr<Server>> servers();

  std::mutex mutex_;
  sys::Dir root_;
  ServerOptions options_;
  std::map<std::uint64_t, Session> sessions_;
  std::map<std::uint64_t, RunningJob> jobs_;
  std::list<Lane> lanes_;
  ServerStats ended_;  // of mounts that are no more
};

}  // namespace cloister::share
