#include "emulator/guest_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>

namespace cloister::emulator {

namespace {

// A mapping beyond the file's end would be a SIGBUS at first touch.
Status check_region(const MemoryRegion& region, int file) {
  if (region.size == 0 || region.size > kMaxRegionBytes || region.file_offset > kMaxRegionBytes)
    return fail(ErrorKind::invalid, "a memory region of {} bytes at {}", region.size, region.file_offset);
  if (region.guest_address + region.size < region.size || region.user_address + region.size < region.size)
    return fail(ErrorKind::invalid, "a memory region that passes the end of addresses");
  struct stat info{};
  if (::fstat(file, &info) != 0) return fail_errno("memory region");
  if (static_cast<std::uint64_t>(info.st_size) < region.file_offset + region.size)
    return fail(ErrorKind::invalid, "a memory region is larger than its file");
  return {};
}

}  // namespace

Status GuestMemory::map_regions(const std::vector<MemoryRegion>& regions, const std::vector<sys::Fd>& files) {
  if (regions.size() > kMaxMemoryRegions || regions.size() != files.size())
    return fail(ErrorKind::invalid, "{} memory regions with {} files", regions.size(), files.size());
  unmap();
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const auto& region = regions[i];
    TRY(check_region(region, files[i].get()));
    auto length = static_cast<std::size_t>(region.file_offset + region.size);
    void* base = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, files[i].get(), 0);
    if (base == MAP_FAILED) return fail_errno("map the guest's memory");
    mappings_.push_back({region, base, length});
  }
  return {};
}

void GuestMemory::unmap() {
  for (const auto& mapping : mappings_) ::munmap(mapping.base, mapping.length);
  mappings_.clear();
}

Result<MutableByteView> GuestMemory::find(std::uint64_t MemoryRegion::* start, std::uint64_t address,
                                          std::uint64_t size) const {
  for (const auto& mapping : mappings_) {
    const auto& region = mapping.region;
    if (address < region.*start) continue;
    auto offset = address - region.*start;
    if (offset > region.size || size > region.size - offset) continue;
    auto* begin = static_cast<std::uint8_t*>(mapping.base) + region.file_offset + offset;
    return MutableByteView(begin, static_cast<std::size_t>(size));
  }
  return fail(ErrorKind::invalid, "{} bytes at {:#x} are not the guest's", size, address);
}

Result<MutableByteView> GuestMemory::at_guest(std::uint64_t address, std::uint64_t size) const {
  return find(&MemoryRegion::guest_address, address, size);
}

Result<MutableByteView> GuestMemory::at_user(std::uint64_t address, std::uint64_t size) const {
  return find(&MemoryRegion::user_address, address, size);
}

}  // namespace cloister::emulator
