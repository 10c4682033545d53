// The byte ranges that one owner has locked in one file, as fcntl(2) keeps them: a new lock replaces what it
// covers and splits what it cuts. Kept beside the kernel's own record, because that cannot be counted. Pure.
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace cloister::share {

class LockRanges {
 public:
  // first ≤ last; type: F_RDLCK, F_WRLCK, or F_UNLCK, which clears the range.
  void set(std::uint64_t first, std::uint64_t last, std::uint32_t type);
  // A range that an owner of another lock of this type would meet: any for F_WRLCK, a written one for
  // F_RDLCK.
  std::optional<fuse_file_lock> conflict(std::uint64_t first, std::uint64_t last, std::uint32_t type) const;
  // Whether a lock or unlock of another type there would leave a range on either side of it.
  bool splits(std::uint64_t first, std::uint64_t last) const;
  std::size_t size() const { return ranges_.size(); }
  bool empty() const { return ranges_.empty(); }

 private:
  struct Rest {
    std::uint64_t last;
    std::uint32_t type;
  };
  std::map<std::uint64_t, Rest> ranges_;  // by first byte; they neither overlap nor touch with equal types
};

}  // namespace cloister::share
