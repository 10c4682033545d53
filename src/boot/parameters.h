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

inline constexpr const char* kMeasuredCommandLine = "/etc/cloister/command_line";

// Whether a machine was started with the command line that its image was made with. The sections of an image
// are measured as one run of bytes, so that a parent can move the boundary between kernel and command line
// and the registers stay the same; more may be appended, as QEMU does. denied: it was not.
Status check_command_line(std::string_view actual, std::string_view measured);

// cloister.parent_cid=N; every other word is somebody else's. invalid: not a CID.
Result<Parameters> parse_parameters(std::string_view command_line);

}  // namespace cloister::boot
