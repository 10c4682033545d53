// One job in the listener: follows its launcher's notices and its standard output until both have ended.
#pragma once

#include <atomic>
#include <thread>

#include "enclave/jobs.h"

namespace cloister::enclave {

class Job {
 public:
  Job(ClientId client, const JobOrder& order, bool shares_output, std::uint64_t sequence);
  ~Job();

  // Takes the launcher's channel and the output pipe, and follows them in a thread. on_end runs before the
  // last event is given.
  void follow(sys::MessageSocket launcher, sys::Fd output, std::function<void()> on_end);

  JobView view() const;
  bool ended() const;
  Status cancel();
  EventLog& events() { return events_; }
  const ClientId& client() const { return client_; }
  bool shares_output() const { return shares_output_; }
  std::uint64_t sequence() const { return sequence_; }

 private:
  void run(const std::function<void()>& on_end);
  bool read_output();
  bool read_notice();
  void emit_output(ByteView bytes);
  void emit_text(ByteView text);
  void note(const JobNotice& notice);
  void finish(const std::function<void()>& on_end);

  const ClientId client_;
  const bool shares_output_;
  const std::uint64_t sequence_;
  mutable std::mutex mutex_;
  JobView view_;
  EventLog events_;
  sys::MessageSocket launcher_;
  sys::Fd output_;
  Bytes partial_;  // the beginning of a UTF-8 sequence whose rest has not come yet
  std::thread follower_;
};

// The JSON forms of docs/formats/control.md.
std::string to_json(const JobView& view);
std::string error_event(const Error& error, int exit_code);
std::string job_id_text(JobId id);

}  // namespace cloister::enclave
