// Idmapped mounts: one tree, another owner. Files of uid `stored` show as uid `shown`, and what uid `shown`
// creates is owned by `stored`. Every other id shows as nobody and can create nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace cloister::sandbox {

struct IdPair {
  std::uint32_t stored = 0;  // uid and gid in the file system
  std::uint32_t shown = 0;   // uid and gid through the mount
};

// Maps the ids of a detached mount that has never been attached (open_tree(2) with OPEN_TREE_CLONE).
// unavailable: the kernel or this file system has no idmapped mounts.
Status map_mount_ids(int mount_fd, const std::vector<IdPair>& pairs);

// Whether tmpfs takes them here (Linux 6.3): tried on a detached tmpfs. Needs root.
// unavailable: it does not, and why. Otherwise the launcher runs the job under the share's own id.
Status idmapped_tmpfs_supported();

}  // namespace cloister::sandbox
