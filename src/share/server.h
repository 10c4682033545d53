// Server: one mount of a share, answered from a directory. Made and owned by the share server's process; all
// of it is thread-safe: one thread per lane, and any thread may invalidate.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "fuse/limits.h"
#include "share/limits.h"
#include "sys/dir.h"
#include "sys/stream.h"

namespace cloister::share {

class FileSystem;
class HostMade;
class Notifier;
class Reclaimer;

struct ServerOptions {
  // A handle on /proc/self/fd, opened by the very process that serves (not by its parent: "self" is resolved
  // when it is opened) before its walls hid /proc. Absent: Server::create opens it. Inodes are re-opened
  // through it.
  sys::Dir proc_self_fd;
  // The links that the client made, shared by all mounts of one share. Absent: a table of its own.
  std::shared_ptr<HostMade> host_made;
  bool exclusive = false;  // the client's kernel has its writeback cache on (sync --exclusive)
  std::size_t mounts = 1;  // that the process may have at once: its descriptors are divided among them
  std::size_t max_inodes = kMaxInodes;
  std::size_t max_handles = kMaxHandles;
  std::size_t max_directories = kMaxDirectories;
  std::size_t max_lock_owners = kMaxLockOwners;
};

inline constexpr std::string_view kJobOutput = "output";  // the directory of a share that jobs write to
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

// Who else changes the share while a mount of it is in use.
struct Company {
  // Where there are several, names and attributes are good for one use, for another mount may change them at
  // any moment; and each may remember its part of the inodes.
  std::size_t mounts = 1;
  // Since when jobs run, in nanoseconds of CLOCK_REALTIME. A job may have a file mapped, and then changes it
  // without a trace in its times: no copy of the contents is believed of a file in kJobOutput, or of one that
  // changed since.
  std::int64_t jobs_since = kNever;
  bool jobs_write_all = false;  // one of them may write elsewhere as well
};

struct ServerStats {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;     // requests answered with an error, ENOENT included
  std::uint64_t malformed = 0;  // messages no kernel sends
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t inodes = 0;
  std::uint64_t handles = 0;
  std::uint64_t locks = 0;  // locked ranges
  std::uint64_t notifications = 0;
};

class Server {
 public:
  // The directory is the share's root and must be all of its mount: nothing is served across a mount point.
  // Sets the process's umask to 0, because modes come from the client with its own umask applied.
  static Result<std::unique_ptr<Server>> create(sys::Dir root, ServerOptions options = {});
  ~Server();

  // Answers requests until the peer closes or sends what no kernel sends. Blocks: one thread per lane.
  void serve_lane(sys::Stream& lane);
  void serve_lane(sys::Fd lane);

  // One request: writes the reply and returns its length, 0 where FUSE has none. invalid: not a FUSE message;
  // close the lane. `reply` has room for fuse::kMaxMessage bytes.
  Result<std::size_t> answer(ByteView request, MutableByteView reply);

  // The lane that carries invalidations, a socket; a new one replaces the old, none ends it.
  void set_notifier(sys::Fd lane);

  // Who else uses the share from now on.
  void know(const Company& company);

  // Compares what the client was told with what is there now, and returns when the client's kernel has
  // dropped what changed. Call at a job's start and end. unavailable: the client did not confirm in time (its
  // copies expire by themselves within a second). Without a notifier there is nobody to tell, and it
  // succeeds.
  // compared, if given: how long it took without the waiting for the client.
  Status invalidate_changed(sys::Deadline deadline = sys::Deadline::after(kInvalidateTimeout),
                            std::chrono::nanoseconds* compared = nullptr);

  // Drops every inode and handle: the mount is gone.
  void forget_all();

  ServerStats stats() const;

 private:
  explicit Server(std::unique_ptr<FileSystem> fs);
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<Notifier> notifier_;
  struct Counters;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<Reclaimer> reclaimer_;  // the first to go: it uses the others
};

}  // namespace cloister::share
