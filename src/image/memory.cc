#include "image/memory.h"

#include <algorithm>

namespace cloister::image {

namespace {

constexpr std::uint64_t kMebibyte = 1024 * 1024;  // bytes
constexpr std::uint64_t kKernelMib = 16;          // Cloister's: text, data, and what it reserves early
// 64 bytes of struct page for each page of 4096.
constexpr std::uint64_t kPagesPerDescriptorPage = 64;
constexpr std::uint64_t kSystemMib = 192;  // kernel, supervisor and room to breathe
constexpr std::uint64_t kStepMib = 64;

std::uint64_t in_mib(std::uint64_t bytes) {
  return (bytes + kMebibyte - 1) / kMebibyte;
}

}  // namespace

std::uint64_t least_memory_mib(const Footprint& image) {
  // What is packed does not become less.
  auto content = image.known ? image.content_bytes : image.packed_bytes;
  auto free = in_mib(2 * content + image.packed_bytes) + kKernelMib;
  return (free * kPagesPerDescriptorPage + kPagesPerDescriptorPage - 2) / (kPagesPerDescriptorPage - 1);
}

std::uint64_t advised_memory_mib(const Footprint& image) {
  auto unpacked = image.known ? image.unpacked_bytes : image.packed_bytes;
  auto needed = std::max(2 * unpacked, unpacked + image.packed_bytes) / kMebibyte + kSystemMib;
  return (needed + kStepMib - 1) / kStepMib * kStepMib;
}

std::uint64_t room_mib(const Footprint& image, std::uint64_t memory_mib) {
  auto unpacked = image.known ? image.unpacked_bytes : image.packed_bytes;
  auto taken = memory_mib / kPagesPerDescriptorPage + kKernelMib + in_mib(unpacked);
  return memory_mib > taken ? memory_mib - taken : 0;
}

}  // namespace cloister::image
