#include "share/links.h"

#include <algorithm>

#include "fuse/limits.h"
#include "share/limits.h"

namespace cloister::share {

std::optional<std::size_t> climbs(std::string_view target) {
  if (target.empty() || target.size() > fuse::kMaxSymlink || target.starts_with('/')) return std::nullopt;
  if (target.find('\0') != std::string_view::npos) return std::nullopt;
  std::size_t count = 0;
  bool descending = false;
  for (std::size_t at = 0; at <= target.size();) {
    auto slash = std::min(target.find('/', at), target.size());
    auto part = target.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      descending = true;
    } else if (descending) {
      return std::nullopt;
    } else {
      ++count;
    }
  }
  return count;
}

void HostMade::made(ino_t inode, ino_t directory, std::string_view target, bool leaves) {
  std::lock_guard lock(mutex_);
  erase(inode);
  if (climbs(target) == 0) return;
  if (made_.size() >= kMaxHostMade || bytes_ + target.size() > kMaxHostTargetBytes) return;
  made_.emplace(inode, Made{std::string(target), {directory}, leaves});
  bytes_ += target.size();
}

void HostMade::erase(ino_t inode) {
  auto old = made_.find(inode);
  if (old == made_.end()) return;
  bytes_ -= old->second.target.size();
  made_.erase(old);
}

void HostMade::gone(ino_t inode) {
  std::lock_guard lock(mutex_);
  erase(inode);
}

std::size_t HostMade::size() const {
  std::lock_guard lock(mutex_);
  return made_.size();
}

void HostMade::placed(ino_t inode, ino_t from_directory, ino_t directory, bool leaves) {
  std::lock_guard lock(mutex_);
  auto found = made_.find(inode);
  if (found == made_.end()) return;
  auto& known = found->second.directories;
  bool was_ours = std::find(known.begin(), known.end(), from_directory) != known.end();
  bool is_new = std::find(known.begin(), known.end(), directory) == known.end();
  if (was_ours) found->second.leaves = found->second.leaves || leaves;
  if (was_ours && is_new && known.size() < kMaxNamesPerInode) known.push_back(directory);
}

bool HostMade::may_leave(ino_t inode) const {
  std::lock_guard lock(mutex_);
  auto found = made_.find(inode);
  return found != made_.end() && found->second.leaves;
}

bool HostMade::is_host_made(ino_t inode, ino_t directory, std::string_view target) const {
  std::lock_guard lock(mutex_);
  auto found = made_.find(inode);
  if (found == made_.end() || found->second.target != target) return false;
  const auto& known = found->second.directories;
  return std::find(known.begin(), known.end(), directory) != known.end();
}

}  // namespace cloister::share
