// /proc of a job.
#pragma once

#include <string>

#include "base/result.h"

namespace cloister::sandbox {

// Mounts /proc (an existing directory) for the caller's pid namespace: nosuid, nodev, noexec, read-only,
// hidepid=invisible and subset=pid, so that it shows the job's processes and nothing of the kernel. Before
// Linux 5.8 there is no subset=pid: /proc/sys, kcore, keys… are covered instead (by /dev/null, which must be
// there), and the note says so. To be called by the first process of the new pid namespace after
// enter_root(); in a user namespace before it, on ROOT/proc, because the kernel then wants another whole
// /proc in sight. Returns the note for Wall::proc.
Result<std::string> mount_proc(const std::string& path = "/proc");

// The covering, apart for tests: path is a mounted /proc.
Status mask_proc(const std::string& path);

}  // namespace cloister::sandbox
