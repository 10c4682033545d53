// User namespaces: ids that mean something else inside.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "sys/process.h"

namespace cloister::sandbox {

inline constexpr std::uint32_t kUserNamespaceIds = 65536;
inline constexpr std::size_t kMaxIdRanges = 340;  // user_namespaces(7)

// One line of /proc/PID/uid_map and gid_map (the same for both).
struct IdRange {
  std::uint32_t inside = 0;
  std::uint32_t outside = 0;
  std::uint32_t count = 1;
};

// Writes both maps of a process that has just entered a user namespace. The caller must be root outside.
Status write_id_maps(pid_t pid, const std::vector<IdRange>& ranges);

// Forks a child into a user namespace (and the namespaces of clone_flags, which it then owns). It waits until
// its ids are mapped, becomes uid 0 and gid 0 inside without groups, then runs body. Needs root, one thread.
// Exit code 127: the child failed before body.
Result<sys::Child> fork_in_user_namespace(const std::function<int()>& body,
                                          const std::vector<IdRange>& ranges, unsigned clone_flags = 0);

// A user namespace that no process is in, as a descriptor: the map of an idmapped mount.
Result<sys::Fd> make_user_namespace(const std::vector<IdRange>& ranges);

}  // namespace cloister::sandbox
