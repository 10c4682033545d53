// Whether the whole image is here. Linux says "Initramfs unpacking failed" when memory ends while it unpacks,
// and goes on; how much memory there is the parent says. So a parent could boot a measured image without its
// last files, walls and all. The first ramdisk, which comes first and is unpacked whole or not at all by
// then, says what has to be there.
#pragma once

#include <string>

#include "codec/image_contents.h"

namespace cloister::boot {

using codec::Contents;

inline constexpr const char* kContentsFile = "/etc/cloister/contents";
inline constexpr std::uint64_t kMaxImageFiles = 1'000'000;  // as a builder puts into one

// Of everything below root that is on its file system.
Result<Contents> count_contents(const std::string& root);

// exhausted: what is there is not what the image was made of.
Status check_complete();

}  // namespace cloister::boot
