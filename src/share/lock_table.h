// The POSIX record locks that one mount's programs hold, by file and owner. Each pair has an open file
// description of its own, whose locks (F_OFD_SETLK, fcntl(2)) are known to every mount of the share and to
// jobs, and end with this process whatever becomes of the client. Thread-safe; nothing here ever waits.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "share/inode_table.h"
#include "share/lock_ranges.h"
#include "share/outcome.h"

namespace cloister::share {

class LockTable {
 public:
  explicit LockTable(std::size_t max_owners) : max_owners_(max_owners) {}

  // Opens the file for reading and writing, in a description of its own.
  using Open = std::function<Outcome<sys::Fd>()>;

  // `lock` is a range that the decoder has checked; `pid` as the client gave it. EAGAIN: another owner's lock
  // is in the way. ENOLCK: one of the limits.
  Outcome<void> set(const InodePtr& inode, std::uint64_t owner, std::uint64_t handle,
                    const fuse_file_lock& lock, const Open& open);
  // What would be in that lock's way; type F_UNLCK: nothing. Its pid is the client's own number for its own
  // programs, 0 for other mounts and jobs.
  Outcome<fuse_file_lock> test(const InodePtr& inode, std::uint64_t owner, const fuse_file_lock& lock,
                               const Open& open);
  // The owner closed the file, which ends all of their locks in it (POSIX, fcntl()).
  void drop(NodeId node, std::uint64_t owner);
  // The handle is closed for the last time. Its owners have dropped theirs, but for those of open file
  // descriptions (F_OFD_SETLK), of which the kernel tells nothing else.
  void release(std::uint64_t handle);
  void clear();
  std::size_t size() const;  // locked ranges of all owners

 private:
  struct Held {
    InodePtr inode;  // pinned: its number is in the key
    sys::Fd fd;
    std::uint64_t handle = 0;  // through which it was last locked
    std::uint32_t pid = 0;
    LockRanges ranges;
  };
  using Key = std::pair<NodeId, std::uint64_t>;

  Outcome<Held*> hold(const InodePtr& inode, std::uint64_t owner, const Open& open);
  void let_go(const Key& key);
  std::optional<fuse_file_lock> met_here(const Key& asking, const fuse_file_lock& lock) const;

  const std::size_t max_owners_;
  mutable std::mutex mutex_;
  std::map<Key, Held> held_;
  std::size_t ranges_ = 0;
};

}  // namespace cloister::share
