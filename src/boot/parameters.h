// What the kernel's command line tells init. The parent may add to it and it is not measured, so it says
// where the parent is and nothing that anybody's trust hangs on.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace cloister::boot {

inline constexpr std::uint32_t kNitroParentCid = 3;   // the parent instance, to an enclave
inline constexpr std::uint32_t kLowestPeerCid = 2;    // below are the hypervisor's and the machine's own
inline constexpr std::size_t kMaxCommandLine = 4096;  // bytes, /proc/cmdline

struct Parameters {
  std::uint32_t parent_cid = kNitroParentCid;
};

// cloister.parent_cid=N; every other word is somebody else's. invalid: not a CID.
Result<Parameters> parse_parameters(std::string_view command_line);

}  // namespace cloister::boot
