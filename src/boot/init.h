// init: the first process of an enclave image. It makes a system out of a kernel, starts the supervisor, and
// ends the machine with it. One ordered list, failing closed: what goes wrong before the supervisor runs ends
// the machine.
#pragma once

#include "attestation/nsm.h"
#include "base/log.h"

namespace cloister::boot {

inline constexpr const char* kSupervisor = "/usr/lib/cloister/cloisterd";

// Sets the clock to the time of one of the module's documents: that time is the hypervisor's, while any other
// that a booting kernel knows may be the parent's. corrupt: no document, or one from before this program was
// made.
Status set_clock_by(attestation::Nsm& nsm);

// Locks every register that boot did not: nobody inside can extend one later and claim a meaning for it.
Status lock_registers(attestation::Nsm& nsm);

// Does not return.
[[noreturn]] void run_init(const Log& log);

}  // namespace cloister::boot
