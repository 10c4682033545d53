// The process backend: a simulated enclave as walled-off processes of this machine. Real in everything but
// confidentiality.
#pragma once

#include "host/backend.h"
#include "host/simulation.h"

namespace cloister::host {

inline constexpr sys::milliseconds kStartTimeout = sys::seconds(20);

// The name is free and held. denied: not root. unavailable: it did not come up.
Result<EnclaveRecord> start_process_enclave(const Paths& paths, const UpOptions& options,
                                            const HeldSignals& held);

}  // namespace cloister::host
