// contain(): the ordered list of walls that a process puts around itself. Fails closed.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "sandbox/landlock.h"
#include "sandbox/limits.h"
#include "sandbox/seccomp.h"
#include "sandbox/wall.h"

namespace cloister::sandbox {

// The walls of contain() that every kernel we support has. Not the keyring: where it is lacking there are no
// keyrings to protect.
inline constexpr WallSet kUsualMinimum = {Wall::session,           Wall::descriptors, Wall::limits,
                                          Wall::capabilities,      Wall::identity,    Wall::parent_death,
                                          Wall::no_new_privileges, Wall::dumpable,    Wall::seccomp};

struct Walls {
  Profile profile = Profile::job;
  uid_t uid = 65534;
  gid_t gid = 65534;
  // What stays after identity, bits 1 << CAP_*. Only for uid 0 of a user namespace of its own (the share
  // server).
  std::uint64_t capabilities = 0;
  // What may be reached; paths as the process sees them (after enter_root). Empty: no path at all.
  // nullopt: Landlock is not used, and its wall reported as absent.
  std::optional<std::vector<LandlockRule>> landlock = std::vector<LandlockRule>{};
  bool landlock_tcp =
      false;  // leave TCP bind and connect alone (the keeper and the listener of the process backend)
  ResourceLimits limits;
  // Every other descriptor is closed; 0, 1 and 2 always stay: put /dev/null or a log there first.
  std::vector<int> keep_fds;
  // A lacking wall of this set is an error. Names of walls that contain() does not build are left to the
  // launcher.
  WallSet minimum = kUsualMinimum;
};

// Walls the calling process in, one after the other, and reports on each. A wall that this kernel lacks is an
// error if it is in the minimum; one that fails for any other reason is always an error. After an error the
// process is half contained: it must end. The process must have one thread, be root (of its user namespace),
// and be a child, not a process group's leader.
Result<WallReport> contain(const Walls& walls);

}  // namespace cloister::sandbox
