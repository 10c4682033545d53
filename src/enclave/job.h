// One job in the listener: follows its launcher's notices and its standard output until both have ended.
#pragma once

#include <atomic>
#include <thread>

#include "enclave/jobs.h"

namespace cloister::enclave {

// How long the output may go on after its launcher has ended: the job's processes have ended with it, so only
// a pipe that they passed on to another job is still open then.
inline constexpr sys::milliseconds kOutputGrace = sys::seconds(2);

struct JobOptions {
  bool shares_output = false;
  sys::seconds grace = kDefaultGrace;  // how long it goes on while nobody follows it
};

class Job {
 public:
  Job(ClientId client, const JobOrder& order, const JobOptions& options, std::uint64_t sequence);
  ~Job();

  // Takes the launcher's channel and the output pipe, and follows them in a thread. on_end runs before the
  // last event is given. exhausted: no thread to be had; the launcher's channel is closed, which ends it.
  Status follow(sys::MessageSocket launcher, sys::Fd output, std::function<void()> on_end);

  JobView view() const;
  bool ended() const;
  Status cancel();
  EventLog& events() { return events_; }
  const ClientId& client() const { return client_; }
  bool shares_output() const { return options_.shares_output; }
  std::uint64_t sequence() const { return sequence_; }

 private:
  void run(const std::function<void()>& on_end);
  void follow_to_the_end();
  int patience(bool launcher_open) const;
  void end_if_abandoned();
  void take_diagnostics(const sys::Fd& file);
  bool read_output();
  bool read_notice();
  void emit_output(ByteView bytes);
  void emit_text(ByteView text);
  void note(const JobNotice& notice);
  void finish(const std::function<void()>& on_end);

  const ClientId client_;
  const JobOptions options_;
  const std::uint64_t sequence_;
  mutable std::mutex mutex_;
  JobView view_;
  EventLog events_;
  sys::MessageSocket launcher_;
  sys::Fd output_;
  bool cancel_sent_ = false;
  std::string cancel_reason_ = "cancelled";
  Bytes diagnostics_;  // the bundle, sealed
  Bytes partial_;      // the beginning of a UTF-8 sequence whose rest has not come yet
  std::thread follower_;
};

// The JSON forms of docs/formats/control.md.
std::string to_json(const JobView& view);
std::string error_event(const Error& error, int exit_code);
std::string job_id_text(JobId id);

}  // namespace cloister::enclave
