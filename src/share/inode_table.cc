#include "share/inode_table.h"

#include <time.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

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

// Whether the last change was so long ago that another one would have another time.
bool quiet_since(const struct stat& info) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return nanoseconds(now) - nanoseconds(info.st_ctim) > kSettleNanoseconds;
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

// The client's kernel compares times of modification and sizes with those it has, and drops its pages if they
// differ. Where they do not, although something changed, its pages stay, and are believed no more than
// before.
void InodeTable::tell(Inode& inode, const struct stat& info) {
  bool quiet = quiet_since(info);
  std::lock_guard lock(mutex_);
  auto& told = inode.told_;
  const auto& before = told.attributes;
  bool same = same_time(before.st_ctim, info.st_ctim);
  bool noticed = !same_time(before.st_mtim, info.st_mtim) || before.st_size != info.st_size;
  bool settled = quiet;
  if (told.once && same) settled = told.settled;
  if (told.once && !same && !noticed) settled = false;
  told = {.attributes = info, .settled = settled, .once = true};
}

void InodeTable::renew(Inode& inode, const struct stat& info) {
  bool quiet = quiet_since(info);
  std::lock_guard lock(mutex_);
  inode.told_ = {.attributes = info, .settled = quiet, .once = true};
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
  auto& parents = inode.parents_;
  if (S_ISDIR(inode.type) && std::find(parents.begin(), parents.end(), parent) == parents.end()) {
    inode.wandered_ = inode.wandered_ || parents.size() >= kMaxNamesPerInode;
    if (!inode.wandered_) parents.push_back(parent);
  }
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

bool InodeTable::may_be_below(const Inode& inode, std::string_view top) const {
  std::lock_guard lock(mutex_);
  std::vector<const Inode*> ways{&inode};
  for (std::size_t at = 0; at < ways.size() && at < kMaxDepth; ++at) {
    if (ways[at]->entries_.empty()) return true;
    for (const auto& entry : ways[at]->entries_) {
      if (entry.parent == FUSE_ROOT_ID) {
        if (entry.name == top) return true;
        continue;
      }
      auto above = by_node_.find(entry.parent);
      if (above != by_node_.end()) ways.push_back(above->second.get());
    }
  }
  return ways.size() >= kMaxDepth;
}

// The shortest way up: breadth first.
std::size_t InodeTable::least_depth(const Inode& directory) const {
  if (directory.id == 0) return std::numeric_limits<std::size_t>::max();
  std::lock_guard lock(mutex_);
  std::unordered_set<NodeId> seen{directory.id};
  std::vector<NodeId> level{directory.id};
  for (std::size_t depth = 0; !level.empty() && seen.size() <= kMaxDepth; ++depth) {
    std::vector<NodeId> above;
    for (auto node : level) {
      if (node == FUSE_ROOT_ID) return depth;
      auto found = by_node_.find(node);
      if (found == by_node_.end()) continue;
      if (found->second->wandered_) return 0;
      for (auto parent : found->second->parents_) {
        if (seen.insert(parent).second) above.push_back(parent);
      }
    }
    level = std::move(above);
  }
  return 0;
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
