// What an enclave image is in memory: its ramdisks unpacked, and counted.
#pragma once

#include "image/eif.h"
#include "image/memory.h"

namespace cloister::host {

inline constexpr std::uint64_t kMaxUnpacked = std::uint64_t{64} << 30;  // bytes of one ramdisk

// Unpacks every ramdisk without keeping anything: a second for 300 MiB. zstd and gzip (what Cloister and
// nitro-cli pack with) and plain archives; another packing gives `known` = false. corrupt: a ramdisk that
// the kernel would not unpack. exhausted: over the limit.
Result<image::Footprint> footprint_of(const image::Eif& image);

// Refuses memory in which the image cannot come up: exhausted, with what it needs and what is advised.
Status check_memory(const image::Eif& image, std::uint64_t memory_mib);

}  // namespace cloister::host
