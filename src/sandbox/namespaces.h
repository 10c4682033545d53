// Namespaces of jobs, and the launcher's own.
#pragma once

#include <sched.h>

#include <string>

#include "base/result.h"

namespace cloister::sandbox {

// For sys::fork_child(). The cgroup namespace is not here: Cgroup::enter() or isolate_cgroup() come after
// joining.
inline constexpr unsigned kJobNamespaces =
    CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
// For helpers such as the unpacker and the share server: the same, so that they see no process and no
// network.
inline constexpr unsigned kHelperNamespaces = kJobNamespaces;

// A mount namespace of its own for the calling process; nothing that it mounts is seen elsewhere, nor the
// reverse.
Status isolate_mounts();
// The same without unshare, for a process that got its namespace by clone.
Status make_mounts_private();
Status isolate_cgroup();
// Only in a UTS namespace of its own.
Status set_hostname(const std::string& name);

}  // namespace cloister::sandbox
