// A program as it goes into an image: without what only a debugger reads.
#pragma once

#include <string>

#include "image/tree.h"

namespace cloister::builder {

inline constexpr std::size_t kMaxProgram = 512 * 1024 * 1024;  // bytes, with debug information

// Puts the loadable part of a static ELF program into the spool: its segments, and no section table. As it
// holds no debug information, no path of the machine that compiled it is left, other than its build id.
// invalid: not a 64-bit little-endian ELF program for `machine` (EM_X86_64, EM_AARCH64), or one that needs a
// loader.
Result<image::Extent> add_program(const std::string& path, std::uint16_t machine, image::Spool& spool);

}  // namespace cloister::builder
