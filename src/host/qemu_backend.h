// The qemu backend: a real enclave image on an emulated machine, with a security module under the development
// root. What boots is what would boot on Nitro; the machine's owner can still read all of it.
#pragma once

#include "host/backend.h"

namespace cloister::host {

inline constexpr sys::milliseconds kTcgBootTimeout = sys::seconds(240);
// A /dev/kvm that only pretends boots nothing in this time, or never.
inline constexpr sys::milliseconds kKvmBootTimeout = sys::seconds(15);
inline constexpr std::uint64_t kMaxMachineMib = 4ULL * 1024 * 1024;  // 4 TiB
inline constexpr std::uint64_t kMaxMachineCpus = 16;                 // what the image's kernel is built for

// The name is free and held. invalid: no image, or one for another processor. not_found: QEMU or the image is
// missing. corrupt: a damaged image. unavailable: it did not come up.
Result<EnclaveRecord> start_qemu_enclave(const Paths& paths, const Environment& environment,
                                         const UpOptions& options, const HeldSignals& held);

}  // namespace cloister::host
