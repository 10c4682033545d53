// Resource limits of one process and what it forks (setrlimit(2)). They are inherited, can only be lowered,
// and count per process, except kProcesses, which counts per user: give every job a uid of its own. Memory
// belongs to the cgroup; where none is delegated, data_bytes is the weaker stand-in. RLIMIT_DATA counts
// private writable memory; RLIMIT_AS would also count address space that V8, Go or a sanitizer only reserves.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"

namespace cloister::sandbox {

struct ResourceLimits {
  std::uint64_t processes = 256;             // of the uid; threads count
  std::uint64_t open_files = 1024;           // descriptors
  std::uint64_t stack_bytes = 8ULL << 20;    // of the main thread, and the default of others
  std::uint64_t locked_bytes = 64ULL << 10;  // mlock
  std::optional<std::uint64_t>
      file_bytes;  // largest file written, memfd included; nullopt: the tmpfs decides
  std::optional<std::uint64_t> data_bytes;     // private writable memory of each process
  std::optional<std::uint64_t> address_bytes;  // address space of each process
  std::optional<std::uint64_t> cpu_seconds;    // of each process
};

// Soft and hard alike. Core dumps and POSIX message queues: none. A limit above the current hard one needs
// CAP_SYS_RESOURCE; without it the current one stays (never an error: it is the tighter).
Status apply_limits(const ResourceLimits& limits);

}  // namespace cloister::sandbox
