// A guest's memory as a vhost-user front end shares it: regions of files, mapped. Addresses come from QEMU
// and from the guest, and none is believed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "sys/fd.h"

namespace cloister::emulator {

inline constexpr std::size_t kMaxMemoryRegions = 8;           // VHOST_MEMORY_BASELINE_NREGIONS
inline constexpr std::uint64_t kMaxRegionBytes = 1ULL << 40;  // 1 TiB

// One region as SET_MEM_TABLE describes it.
struct MemoryRegion {
  std::uint64_t guest_address = 0;
  std::uint64_t size = 0;          // bytes
  std::uint64_t user_address = 0;  // in the front end: rings are named by it
  std::uint64_t file_offset = 0;
};

// Owns its mappings. Not thread-safe; views die with the next map_regions().
class GuestMemory {
 public:
  GuestMemory() = default;
  ~GuestMemory() { unmap(); }
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Replaces what was mapped. invalid: too many, too large, empty, not as many files as regions.
  Status map_regions(const std::vector<MemoryRegion>& regions, const std::vector<sys::Fd>& files);

  // The bytes at an address, all of them in one region. invalid: they are not.
  Result<MutableByteView> at_guest(std::uint64_t address, std::uint64_t size) const;
  Result<MutableByteView> at_user(std::uint64_t address, std::uint64_t size) const;

 private:
  struct Mapping {
    MemoryRegion region;
    void* base = nullptr;  // of the mapping, which begins at the file's start
    std::size_t length = 0;
  };
  void unmap();
  Result<MutableByteView> find(std::uint64_t MemoryRegion::* start, std::uint64_t address,
                               std::uint64_t size) const;
  std::vector<Mapping> mappings_;
};

}  // namespace cloister::emulator
