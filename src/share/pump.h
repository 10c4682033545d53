// The pump: carries whole FUSE requests from this machine's kernel to an enclave and its replies back. It
// answers FUSE_INIT itself, and judges everything that comes back: the kernel never sees a byte that
// reply_check.h refused.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <vector>

#include "fuse/limits.h"
#include "share/limits.h"
#include "share/mount.h"
#include "sys/stream.h"

namespace cloister::share {

enum class Ownership {
  mounting_user,  // every file shows as uid:gid below; chown is accepted and changes nothing; the enclave
                  // learns no ids
  keep,           // ids travel both ways: for root, with a server that maps them
};

// What a pump has carried. Lock-free, so that it may lie in memory that another process reads.
struct Traffic {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> bytes_read{0};  // of file data
  std::atomic<std::uint64_t> bytes_written{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

struct PumpOptions {
  Ownership ownership = Ownership::mounting_user;
  uid_t uid = 0;  // whom files show as; the caller's own, normally
  gid_t gid = 0;
  // No other mount uses the share: the kernel holds back what is written and keeps locks itself.
  bool exclusive = false;
  std::uint32_t max_write = fuse::kMaxWrite;  // the lower of ours and HelloReply::max_write
  sys::milliseconds reply_timeout = kReplyTimeout;
  Traffic* traffic = nullptr;  // counted here, if given; outlives the pump
};

// Lanes whose hello is done: plain sockets (sys::FdStream) or TLS, one request lane at least.
struct Lanes {
  std::vector<std::unique_ptr<sys::Stream>> requests;
  std::unique_ptr<sys::Stream> notifications;  // may be absent: then changes show within a second
};

// Runs until the mount is unmounted (success) or a lane fails: then what is outstanding gets EIO, the device
// is closed, so that later calls fail at once, and the error is returned. The mount stays in the tree until
// unmount().
Status pump(Mount& mount, Lanes lanes, const PumpOptions& options);

}  // namespace cloister::share
