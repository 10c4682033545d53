// The process that stands for an enclave under QEMU: it starts the machine and the two devices beside it,
// answers the boot heartbeat, and ends them all when one ends or it is told to.
#pragma once

#include "host/qemu_programs.h"

namespace cloister::host {

// To be run in a process of its own (fork_in_background), which must be nobody else's parent. Says on stderr
// what happened; returns the exit code.
int run_machine(const Machine& machine);

}  // namespace cloister::host
