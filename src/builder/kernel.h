// The kernel's file in an image: which version it is, and whether it is new enough.
#pragma once

#include <string>

#include "image/eif_format.h"

namespace cloister::builder {

// What the walls need: tmpfs with user.* attributes and idmapped mounts.
inline constexpr unsigned kOldestKernelMajor = 6;
inline constexpr unsigned kOldestKernelMinor = 6;

// "6.12.95-cloister". invalid: not a kernel for this architecture (a bzImage, an uncompressed arm64 Image),
// or one older than the above.
Result<std::string> kernel_version(const std::string& path, image::Architecture architecture);

}  // namespace cloister::builder
