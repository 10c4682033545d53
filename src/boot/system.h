// What a booted kernel lacks to be a system: a root that can be left, mounts, a hostname, settings.
#pragma once

#include "base/result.h"

namespace cloister::boot {

// pivot_root(2) refuses the initramfs, and every job needs it: the root is bound onto a directory of itself,
// moved over itself and entered.
Status move_root();

// /proc, /sys, /sys/fs/cgroup, /dev, /dev/shm, /run and /tmp; 0, 1 and 2 become the console; settings of the
// kernel that make it tell less.
Status prepare_system();

// Ends the machine. An enclave's memory goes with it.
[[noreturn]] void end_machine();

}  // namespace cloister::boot
