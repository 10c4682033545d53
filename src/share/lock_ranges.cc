#include "share/lock_ranges.h"

#include <fcntl.h>

#include <algorithm>

namespace cloister::share {

void LockRanges::set(std::uint64_t first, std::uint64_t last, std::uint32_t type) {
  auto at = ranges_.lower_bound(first);
  if (at != ranges_.begin()) --at;
  while (at != ranges_.end() && at->first <= last) {
    auto [begin, rest] = *at;
    if (rest.last < first) {
      ++at;
      continue;
    }
    at = ranges_.erase(at);
    if (begin < first) ranges_.emplace(begin, Rest{first - 1, rest.type});
    if (rest.last > last) ranges_.emplace(last + 1, rest);
  }
  if (type == F_UNLCK) return;
  auto made = ranges_.emplace(first, Rest{last, type}).first;
  if (auto after = std::next(made);
      after != ranges_.end() && after->second.type == type && after->first - 1 == made->second.last) {
    made->second.last = after->second.last;
    ranges_.erase(after);
  }
  if (made == ranges_.begin()) return;
  if (auto before = std::prev(made); before->second.type == type && before->second.last == first - 1) {
    before->second.last = made->second.last;
    ranges_.erase(made);
  }
}

bool LockRanges::splits(std::uint64_t first, std::uint64_t last) const {
  auto after = ranges_.lower_bound(first);
  return after != ranges_.begin() && std::prev(after)->second.last > last;
}

std::optional<fuse_file_lock> LockRanges::conflict(std::uint64_t first, std::uint64_t last,
                                                   std::uint32_t type) const {
  for (const auto& [begin, rest] : ranges_) {
    if (begin > last) break;
    if (rest.last < first || (type == F_RDLCK && rest.type == F_RDLCK)) continue;
    return fuse_file_lock{.start = begin, .end = rest.last, .type = rest.type, .pid = 0};
  }
  return std::nullopt;
}

}  // namespace cloister::share
