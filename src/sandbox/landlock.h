// Landlock: a process gives up every path but those named, whatever its user may do
// (Documentation/userspace-api/landlock.rst).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::sandbox {

// What a path and everything below it may be used for.
enum Access : unsigned {
  kRead = 1,     // read files, list directories
  kWrite = 2,    // write, create, rename, remove (regular files, directories, symlinks, fifos; never devices)
  kExecute = 4,  // run programs
  kSockets = 8,  // bind unix sockets to names: where two processes meet there, they can pass descriptors
};

struct LandlockRule {
  std::string path;
  unsigned access = kRead;  // Access bits
};

struct LandlockOptions {
  bool allow_tcp = false;  // ABI 4 and up can refuse TCP bind and connect
};

// The kernel's Landlock ABI, 0 if it has none.
int landlock_abi();

// Restricts the calling thread and its future children, as far as the kernel's ABI reaches: paths (1),
// renames across directories (2), truncate (3), TCP (4), ioctl on devices (5), abstract unix sockets and
// signals to the outside (6). Returns the ABI. unavailable: kernel without Landlock. not_found: a rule's path
// is missing. Needs no_new_privs.
Result<int> restrict_paths(const std::vector<LandlockRule>& rules, const LandlockOptions& options = {});

}  // namespace cloister::sandbox
