#include "share/lock_table.h"

#include <fcntl.h>

#include <limits>

#include "share/limits.h"

namespace cloister::share {

namespace {

constexpr std::uint64_t kEnd = std::numeric_limits<off_t>::max();

struct flock flock_of(const fuse_file_lock& lock) {
  struct flock out{};
  out.l_type = static_cast<short>(lock.type);
  out.l_whence = SEEK_SET;
  out.l_start = static_cast<off_t>(lock.start);
  out.l_len = lock.end == kEnd ? 0 : static_cast<off_t>(lock.end - lock.start + 1);
  return out;
}

fuse_file_lock lock_of(const struct flock& lock) {
  auto start = static_cast<std::uint64_t>(lock.l_start);
  return {.start = start,
          .end = lock.l_len == 0 ? kEnd : start + static_cast<std::uint64_t>(lock.l_len) - 1,
          .type = static_cast<std::uint32_t>(lock.l_type),
          .pid = 0};
}

}  // namespace

Outcome<LockTable::Held*> LockTable::hold(const InodePtr& inode, std::uint64_t owner, const Open& open) {
  Key key{inode->id, owner};
  if (auto known = held_.find(key); known != held_.end()) return &known->second;
  if (held_.size() >= max_owners_) return refuse(ENOLCK);
  auto fd = TRY(open());
  return &held_.emplace(key, Held{inode, std::move(fd), 0, 0, {}}).first->second;
}

void LockTable::let_go(const Key& key) {
  auto known = held_.find(key);
  if (known == held_.end()) return;
  ranges_ -= known->second.ranges.size();
  held_.erase(known);
}

Outcome<void> LockTable::set(const InodePtr& inode, std::uint64_t owner, std::uint64_t handle,
                             const fuse_file_lock& lock, const Open& open) {
  std::lock_guard guard(mutex_);
  Key key{inode->id, owner};
  auto known = held_.find(key);
  if (lock.type == F_UNLCK && known == held_.end()) return {};
  // Either may split the range that it falls into: a lock makes two ranges more, an unlock one.
  bool splits = known != held_.end() && known->second.ranges.splits(lock.start, lock.end);
  std::size_t growth = lock.type != F_UNLCK ? 2 : splits ? 1 : 0;
  if (growth != 0 && ranges_ + growth > kMaxLocks) return refuse(ENOLCK);
  auto* held = TRY(hold(inode, owner, open));
  auto wanted = flock_of(lock);
  if (::fcntl(held->fd.get(), F_OFD_SETLK, &wanted) != 0) {
    auto refused = refuse_errno();
    if (held->ranges.empty()) let_go(key);
    return refused;
  }
  ranges_ -= held->ranges.size();
  held->ranges.set(lock.start, lock.end, lock.type);
  ranges_ += held->ranges.size();
  held->handle = handle;
  held->pid = lock.pid;
  if (held->ranges.empty()) let_go(key);
  return {};
}

std::optional<fuse_file_lock> LockTable::met_here(const Key& asking, const fuse_file_lock& lock) const {
  for (auto at = held_.lower_bound({asking.first, 0}); at != held_.end() && at->first.first == asking.first;
       ++at) {
    if (at->first == asking) continue;
    auto met = at->second.ranges.conflict(lock.start, lock.end, lock.type);
    if (!met) continue;
    met->pid = at->second.pid;
    return met;
  }
  return std::nullopt;
}

Outcome<fuse_file_lock> LockTable::test(const InodePtr& inode, std::uint64_t owner,
                                        const fuse_file_lock& lock, const Open& open) {
  std::lock_guard guard(mutex_);
  Key key{inode->id, owner};
  if (auto met = met_here(key, lock)) return *met;
  auto known = held_.find(key);
  sys::Fd fresh;
  if (known == held_.end()) fresh = TRY(open());
  auto wanted = flock_of(lock);
  if (::fcntl(known == held_.end() ? fresh.get() : known->second.fd.get(), F_OFD_GETLK, &wanted) != 0)
    return refuse_errno();
  return lock_of(wanted);
}

void LockTable::drop(NodeId node, std::uint64_t owner) {
  std::lock_guard guard(mutex_);
  let_go({node, owner});
}

void LockTable::release(std::uint64_t handle) {
  std::lock_guard guard(mutex_);
  for (auto at = held_.begin(); at != held_.end();) {
    if (at->second.handle != handle) {
      ++at;
      continue;
    }
    ranges_ -= at->second.ranges.size();
    at = held_.erase(at);
  }
}

void LockTable::clear() {
  std::lock_guard guard(mutex_);
  held_.clear();
  ranges_ = 0;
}

std::size_t LockTable::size() const {
  std::lock_guard guard(mutex_);
  return ranges_;
}

}  // namespace cloister::share
