// What POSIX locks a client of share_server_fuzz must and must not get, kept as the list of what was granted:
// a byte has the type of the last request that covered it. Nobody else locks anything there.
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace cloister::share_fuzz {

class LockModel {
 public:
  // The server told that this node is the file of that inode number.
  void learn(std::uint64_t node, std::uint64_t number) { number_of_[node] = number; }
  // Whether the model can say anything: not after a lock by a node that was guessed.
  bool knows(std::uint64_t node) const { return sure_ && number_of_.contains(node); }

  void granted(std::uint64_t node, std::uint64_t owner, const fuse_file_lock& lock) {
    sure_ = sure_ && number_of_.contains(node);
    granted_[{node, owner}].push_back(lock);
  }
  void closed(std::uint64_t node, std::uint64_t owner) { granted_.erase({node, owner}); }
  void clear() { granted_.clear(); }

  // Whether another owner has a lock in this one's way.
  bool conflicts(std::uint64_t node, std::uint64_t owner, const fuse_file_lock& lock) const {
    return std::any_of(granted_.begin(), granted_.end(), [&](const auto& theirs) {
      if (theirs.first == Key{node, owner} || number_of_.at(theirs.first.first) != number_of_.at(node))
        return false;
      return in_the_way(theirs.second, lock);
    });
  }

 private:
  using Key = std::pair<std::uint64_t, std::uint64_t>;
  using Locks = std::vector<fuse_file_lock>;

  static std::uint32_t type_at(const Locks& locks, std::uint64_t byte) {
    for (auto lock = locks.rbegin(); lock != locks.rend(); ++lock)
      if (lock->start <= byte && byte <= lock->end) return lock->type;
    return F_UNLCK;
  }
  // Types change only where a request began, or behind its end.
  static bool in_the_way(const Locks& theirs, const fuse_file_lock& wanted) {
    auto meets = [&](std::uint64_t byte) {
      if (byte < wanted.start || byte > wanted.end) return false;
      auto type = type_at(theirs, byte);
      return type == F_WRLCK || (type == F_RDLCK && wanted.type == F_WRLCK);
    };
    return meets(wanted.start) || std::any_of(theirs.begin(), theirs.end(), [&](const auto& lock) {
             return meets(lock.start) || meets(lock.end + 1);
           });
  }

  std::map<std::uint64_t, std::uint64_t> number_of_;
  std::map<Key, Locks> granted_;
  bool sure_ = true;
};

}  // namespace cloister::share_fuzz
