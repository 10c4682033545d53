#include "enclave/share_budget.h"

#include <algorithm>

namespace cloister::enclave {

namespace {

constexpr std::uint64_t kPage = 4096;                 // bytes
constexpr std::uint64_t kBytesPerFileAllowed = 4096;  // of quota, for each file that a share may have
constexpr std::uint64_t kMaxFiles = 4U << 20;         // of one share

std::uint64_t memory_of(const ShareSpace& space) {
  return space.bytes + space.files * kBytesPerFile;
}

}  // namespace

ShareBudget::ShareBudget(std::uint64_t total, std::uint64_t quota) : total_(total) {
  quota_.bytes = std::max(std::min(total, quota), kPage);
  quota_.files = std::clamp<std::uint64_t>(quota_.bytes / kBytesPerFileAllowed, 1, kMaxFiles);
}

bool ShareBudget::is_short_for(std::size_t shares) const {
  return shares != 0 && memory_of(quota_) > total_ / shares;
}

std::uint64_t ShareBudget::left(std::span<const ShareSpace> used) const {
  std::uint64_t sum = 0;
  for (const auto& one : used) sum += memory_of(one);
  return total_ - std::min(sum, total_);
}

std::chrono::milliseconds ShareBudget::quiet_interval(std::span<const ShareSpace> used) const {
  std::chrono::milliseconds until_full(left(used) / kFastestWriting);
  return std::clamp(until_full, kBalanceInterval, kQuietInterval);
}

std::vector<ShareSpace> ShareBudget::limits(std::span<const ShareSpace> used) const {
  auto rest = left(used);
  std::vector<ShareSpace> out;
  for (const auto& one : used) {
    ShareSpace limit{.bytes = std::min(quota_.bytes, one.bytes + rest),
                     .files = std::min(quota_.files, one.files + rest / kBytesPerFile)};
    limit.bytes = std::max(limit.bytes / kPage * kPage, std::max(one.bytes, kPage));
    limit.files = std::max<std::uint64_t>(limit.files, std::max<std::uint64_t>(one.files, 1));
    out.push_back(limit);
  }
  return out;
}

}  // namespace cloister::enclave
