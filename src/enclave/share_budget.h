// How much memory each client's folder may use at this moment, so that all of them together leave the rest of
// the enclave's memory to jobs: a write past it gets ENOSPC, and no process is killed for want of memory.
// Pure: numbers in, numbers out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cloister::enclave {

// Kernel memory that one file takes beside its content: inode, name, and what the share server holds of it.
inline constexpr std::uint64_t kBytesPerFile = 2048;
// A new folder needs that much to begin with.
inline constexpr std::uint64_t kLeastShareBytes = 1 << 20;

// How often the limits follow what the shares hold. What clients write at once within it may go past the
// budget: tens of MiB, which the half of the memory that is not for shares has.
inline constexpr std::chrono::milliseconds kBalanceInterval{50};
inline constexpr std::chrono::milliseconds kQuietInterval{1000};
inline constexpr std::uint64_t kFastestWriting = 8ULL << 20;  // bytes in a millisecond, by all together

// What a tmpfs holds or may hold: bytes of its pages, and files of any kind.
struct ShareSpace {
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
  friend bool operator==(const ShareSpace&, const ShareSpace&) = default;
};

class ShareBudget {
 public:
  // total: bytes for all shares together; quota: bytes of content for each. The lower of them counts.
  ShareBudget(std::uint64_t total, std::uint64_t quota);

  // Whether so many full shares need more than there is. If not, each may simply have its quota.
  bool is_short_for(std::size_t shares) const;
  // What the shares with these contents leave, in bytes.
  std::uint64_t left(std::span<const ShareSpace> used) const;
  // The limits of each, in the same order: what it has and all that is left, at most its quota. Never below
  // what it has, and never 0, which would mean no limit.
  std::vector<ShareSpace> limits(std::span<const ShareSpace> used) const;

  // How long the limits may stay as they are where nothing has changed for a while: until clients and jobs
  // together could have written what is left, kBalanceInterval to kQuietInterval.
  std::chrono::milliseconds quiet_interval(std::span<const ShareSpace> used) const;

  std::uint64_t total() const { return total_; }
  ShareSpace quota() const { return quota_; }

 private:
  std::uint64_t total_;
  ShareSpace quota_;
};

}  // namespace cloister::enclave
