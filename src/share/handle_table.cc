#include "share/handle_table.h"

namespace cloister::share {

namespace {

template <class Map>
auto look_up(const Map& map, std::uint64_t handle, NodeId node) -> Outcome<typename Map::mapped_type> {
  auto found = map.find(handle);
  if (found == map.end() || found->second->inode->id != node) return refuse(EBADF);
  return found->second;
}

}  // namespace

Outcome<std::uint64_t> HandleTable::add(std::shared_ptr<const OpenFile> file) {
  std::lock_guard lock(mutex_);
  if (files_.size() + directories_.size() >= limit_) return refuse(ENFILE);
  files_.emplace(next_, std::move(file));
  return next_++;
}

Outcome<std::uint64_t> HandleTable::add(std::shared_ptr<OpenDirectory> directory) {
  std::lock_guard lock(mutex_);
  if (directories_.size() >= directory_limit_ || files_.size() + directories_.size() >= limit_)
    return refuse(ENFILE);
  directories_.emplace(next_, std::move(directory));
  return next_++;
}

Outcome<std::shared_ptr<const OpenFile>> HandleTable::file(std::uint64_t handle, NodeId node) const {
  std::lock_guard lock(mutex_);
  return look_up(files_, handle, node);
}

Outcome<std::shared_ptr<OpenDirectory>> HandleTable::directory(std::uint64_t handle, NodeId node) const {
  std::lock_guard lock(mutex_);
  return look_up(directories_, handle, node);
}

// What is removed is closed after the lock is gone: closing the last handle of a big file frees its memory.
Outcome<void> HandleTable::remove_file(std::uint64_t handle, NodeId node) {
  std::shared_ptr<const OpenFile> last;
  std::lock_guard lock(mutex_);
  last = TRY(look_up(files_, handle, node));
  files_.erase(handle);
  return {};
}

Outcome<void> HandleTable::remove_directory(std::uint64_t handle, NodeId node) {
  std::shared_ptr<OpenDirectory> last;
  std::lock_guard lock(mutex_);
  last = TRY(look_up(directories_, handle, node));
  directories_.erase(handle);
  return {};
}

void HandleTable::clear() {
  std::lock_guard lock(mutex_);
  files_.clear();
  directories_.clear();
}

std::size_t HandleTable::size() const {
  std::lock_guard lock(mutex_);
  return files_.size() + directories_.size();
}

}  // namespace cloister::share
