// cgroup v2: limits of a whole job, where they are delegated. Controllers may be missing (a v1 hybrid host, a
// container): each is tried, and the report says which hold.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "sandbox/wall.h"
#include "sys/dir.h"

namespace cloister::sandbox {

struct CgroupLimits {
  std::optional<std::uint64_t>
      memory_bytes;  // memory.max; swap none, the job is killed as a whole (memory.oom.group)
  std::optional<std::uint64_t> processes;    // pids.max; threads count
  std::optional<std::uint32_t> cpu_percent;  // cpu.max; 100 is one core
};

// The directory of the caller's own cgroup in the v2 hierarchy ("/sys/fs/cgroup/…").
// unavailable: no cgroup2 is mounted.
Result<std::string> own_cgroup();

// One job's cgroup. Owned by the launcher. Dropping it kills what is left inside and removes it (best
// effort).
class Cgroup {
 public:
  // Creates parent/name. Controllers that the parent does not pass on are enabled there if possible. report
  // gets Wall::cgroup and cgroup_{memory,pids,cpu}. unavailable: not a cgroup, or no right to create one.
  static Result<Cgroup> create(const std::string& parent, const std::string& name, const CgroupLimits& limits,
                               WallReport& report);
  Cgroup(Cgroup&&) noexcept = default;
  Cgroup& operator=(Cgroup&&) = delete;
  ~Cgroup();

  // Moves the calling process into it, then into a cgroup namespace of its own. In the child, while it is
  // still root.
  Status enter() const;
  // SIGKILL to everything inside (cgroup.kill, Linux 5.14).
  Status kill() const;
  // Waits a bounded time for the last process to be gone. system (EBUSY): somebody is still inside.
  Status remove();
  // How often the kernel killed for memory (memory.events, oom_kill); 0 without the memory controller.
  std::uint64_t oom_kills() const;
  int descriptor() const { return dir_.descriptor(); }

 private:
  Cgroup(sys::Dir parent, sys::Dir dir, std::string name)
      : parent_(std::move(parent)), dir_(std::move(dir)), name_(std::move(name)) {}
  sys::Dir parent_;
  sys::Dir dir_;
  std::string name_;
};

// Writes the limits into the files of an existing cgroup directory (create() does; apart for tests).
void apply_cgroup_limits(const sys::Dir& group, const CgroupLimits& limits, WallReport& report);

}  // namespace cloister::sandbox
