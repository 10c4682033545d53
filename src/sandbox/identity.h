// Who a process is: user, groups, capabilities, and that it can gain none of them back.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace cloister::sandbox {

// Drops the bounding set to `keep` (bits 1 << CAP_*), clears the ambient set, and locks the securebits: root
// gains no capabilities by execve, KEEPCAPS is off, ambient capabilities cannot be raised. Needs CAP_SETPCAP.
Status drop_bounding_set(std::uint64_t keep);

// No supplementary groups, real = effective = saved = filesystem ids.
Status become(uid_t uid, gid_t gid);

// Sets permitted and effective capabilities to `keep`, inheritable to none, by capset(2). keep != 0 only
// makes sense for a process that stays uid 0 of its user namespace.
Status set_capabilities(std::uint64_t keep);

// Reads everything back: ids, groups, all five capability sets; and tries to become root again (which must
// fail, unless uid is 0). internal: something is not as asked.
Status verify_identity(uid_t uid, gid_t gid, std::uint64_t keep);

Status set_no_new_privileges();
// Closes /proc/PID/{mem,fd,…}, ptrace and core dumps to processes of the same user. execve resets it.
Status set_not_dumpable();
// A session of its own, without a controlling terminal.
Status new_session();
// An empty session keyring: the parent's keys are no longer possessed. unavailable: kernel without keyrings.
Status new_keyring();
// SIGKILL when the parent dies. A change of ids clears it, so this comes after become(). parent: getppid() of
// before.
Status die_with_parent(pid_t parent);

}  // namespace cloister::sandbox
