#include "share/inode_table.h"

#include <time.h>

#include <algorithm>

#include "share/limits.h"

namespace cloister::share {

namespace {

// File times move in steps of a kernel tick (up to 10 ms). What was told within two of them of the last
// change may be followed by another change that leaves no trace in the times.
constexpr std::int64_t kSettleNanoseconds = 20'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

InodeTable::InodeTable(sys::Fd root, const struct stat& info, std::size_t limit)
    : root_(std::make_shared<Inode>(FUSE_ROOT_ID, info, std::move(root))), limit_(limit) {
  forget_all();
}

Outcome<InodePtr> InodeTable::find(NodeId node) const {
  std::lock_guard lock(mutex_);
  auto found = by_node_.find(node);
  if (found == by_node_.end()) return refuse(ESTALE);
  return found->second;
}

Outcome<InodePtr> InodeTable::reference(sys::Fd path, const struct stat& info) {
  std::lock_guard lock(mutex_);
  if (auto known = by_number_.find(info.st_ino); known != by_number_.end()) {
    ++known->second->lookups_;
    return known->second;
  }
  if (by_node_.size() >= limit_) return refuse(ENFILE);
  auto inode = std::make_shared<Inode>(next_++, info, std::move(path));
  inode->lookups_ = 1;
  by_node_.emplace(inode->id, inode);
  by_number_.emplace(inode->number, inode);
  return inode;
}

InodePtr InodeTable::forget(NodeId node, std::uint64_t count) {
  std::lock_guard lock(mutex_);
  auto found = by_node_.find(node);
  if (found == by_node_.end() || found->second == root_) return nullptr;
  auto& inode = *found->second;
  inode.lookups_ -= std::min(count, inode.lookups_);
  if (inode.lookups_ != 0) return nullptr;
  auto last = std::move(found->second);
  by_number_.erase(last->number);
  by_node_.erase(found);
  return last;  // its descriptor is closed when the lock is gone
}

void InodeTable::forget_all() {
  std::lock_guard lock(mutex_);
  by_node_ = {{root_->id, root_}};
  by_number_ = {{root_->number, root_}};
}

void InodeTable::tell(Inode& inode, const struct stat& info) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  std::lock_guard lock(mutex_);
  inode.told_ = {.attributes = info,
                 .settled = nanoseconds(now) - nanoseconds(info.st_ctim) > kSettleNanoseconds};
}

bool InodeTable::unchanged(const Inode& inode, const struct stat& info) const {
  std::lock_guard lock(mutex_);
  const auto& told = inode.told_.attributes;
  return inode.told_.settled && same_time(told.st_ctim, info.st_ctim) &&
         same_time(told.st_mtim, info.st_mtim) && told.st_size == info.st_size &&
         told.st_nlink == info.st_nlink && told.st_mode == info.st_mode;
}

bool InodeTable::name(Inode& inode, NodeId parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  auto& entries = inode.entries_;
  for (const auto& entry : entries) {
    if (entry.parent == parent && entry.name == name) return true;
  }
  if (entries.size() >= kMaxNamesPerInode) {
    if (S_ISLNK(inode.type)) return false;
    entries.erase(entries.begin());
  }
  entries.push_back({parent, std::string(name)});
  return true;
}

void InodeTable::unname(Inode& inode, NodeId parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  std::erase_if(inode.entries_,
                [&](const Entry& entry) { return entry.parent == parent && entry.name == name; });
}

void InodeTable::orphan(Inode& inode) {
  std::lock_guard lock(mutex_);
  inode.orphan_ = orphans_;
}

std::vector<Entry> InodeTable::entries(const Inode& inode) const {
  std::lock_guard lock(mutex_);
  return inode.entries_;
}

InodePtr InodeTable::find_number(ino_t number) const {
  std::lock_guard lock(mutex_);
  auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : found->second;
}

std::vector<InodePtr> InodeTable::all() const {
  std::lock_guard lock(mutex_);
  std::vector<InodePtr> out;
  out.reserve(by_node_.size());
  for (const auto& [node, inode] : by_node_) out.push_back(inode);
  return out;
}

std::vector<InodePtr> InodeTable::idle(std::size_t count) {
  constexpr long kHeldByTable = 2;  // by_node_ and by_number_
  std::lock_guard lock(mutex_);
  std::vector<InodePtr> out;
  for (const auto& [node, inode] : by_node_) {
    if (!S_ISDIR(inode->type) && inode.use_count() == kHeldByTable) out.push_back(inode);
  }
  if (count >= out.size() || count == 0) return count == 0 ? std::vector<InodePtr>() : out;
  // The distance behind the last one given wraps: after the highest number comes the lowest.
  auto nearer = [start = last_idle_ + 1](const InodePtr& a, const InodePtr& b) {
    return a->id - start < b->id - start;
  };
  std::nth_element(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count - 1), out.end(), nearer);
  out.resize(count);
  last_idle_ = out.back()->id;
  return out;
}

std::size_t InodeTable::size() const {
  std::lock_guard lock(mutex_);
  return by_node_.size();
}

}  // namespace cloister::share
