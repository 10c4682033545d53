// The share server's process: fixed structs over its control socket, lanes as descriptors beside them. Every
// message is answered by one ControlReply with the same id; replies to `invalidate` come when it is done and
// may be overtaken.
#pragma once

#include <cstdint>

#include "share/server.h"
#include "sys/message_socket.h"

namespace cloister::share {

enum class ControlKind : std::uint32_t {
  add_lane = 1,      // one descriptor: a socket whose hello is done
  add_notifier = 2,  // one descriptor: likewise, of a mount that has a request lane already
  invalidate = 3,    // all mounts of the share
  stats = 4,
  begin_job = 5,  // `session` is the job's number. From now on whatever changes is pushed to the mounts
  end_job = 6,    // answered when all mounts have been told, as `invalidate` is
};

// A job that uses the share, as begin_job tells of it.
struct RunningJob {
  std::int64_t since = 0;   // file_time_now() when it began
  bool writes_all = false;  // it may write elsewhere than to kJobOutput
};

struct ControlMessage {
  ControlKind kind = ControlKind::stats;
  // Of add_lane: 1 if this mount wants the share to itself. Of begin_job: 1 if it may write elsewhere than to
  // output/.
  std::uint32_t flag = 0;
  std::uint64_t id = 0;  // of the caller's choice
  std::uint64_t session =
      0;  // which mount a lane belongs to: the caller's number. A mount ends with its last lane
  std::int64_t since = 0;  // of begin_job: file_time_now() when it began
};

// What the kernel writes into the times of a file that changes now: nanoseconds since 1970.
std::int64_t file_time_now();

enum class ControlStatus : std::uint32_t {
  ok = 0,
  full = 1,         // too many lanes, mounts or pending messages
  unconfirmed = 2,  // a client did not confirm an invalidation in time
  invalid = 3,      // unknown kind, or descriptors missing
  failed = 4,
  taken = 5,  // a mount has the share to itself, or wants to
};

struct ControlReply {
  ControlKind kind = ControlKind::stats;
  ControlStatus status = ControlStatus::ok;
  std::uint64_t id = 0;
  // Filled for `stats`: sums over all mounts; what only grows counts those that have ended too.
  ServerStats stats;
  std::uint64_t sessions = 0;
  std::uint64_t lanes = 0;
  bool exclusive = false;  // a mount has the share to itself
};

// The main loop. The caller has already put the process behind its walls. Ends, lanes included, when the
// control socket closes; returns the process's exit code.
int run_server(sys::MessageSocket control, sys::Dir root, ServerOptions options);

}  // namespace cloister::share
