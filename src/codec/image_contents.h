// What an enclave image holds in all, as its first ramdisk says it (/etc/cloister/contents): written when it
// is built, compared when it is booted.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace cloister::codec {

inline constexpr std::size_t kMaxContentsFile = 64;  // bytes

// Files and symbolic links, and the bytes of both (a link's are its target's). The contents file itself is
// not counted; directories and devices are not, of which the kernel brings some.
struct Contents {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Contents&) const = default;
};

// "FILES BYTES\n", decimal. invalid: anything else.
Result<Contents> parse_contents(std::string_view text);
std::string to_text(const Contents& contents);

}  // namespace cloister::codec
