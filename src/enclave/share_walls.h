// The walls around a share server, from its birth to the moment before it reads a client's first byte.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/log.h"
#include "sandbox/wall.h"
#include "sys/dir.h"
#include "sys/process.h"

namespace cloister::enclave {

inline constexpr uid_t kShareIds = 65536;  // ids of a share server's user namespace

struct ShareWalls {
  std::string share;      // the directory it serves, a mount of its own
  std::string work_path;  // an empty directory that it may build its root on
  uid_t owner = 0;        // outside: kShareIds ids from here on are the server's
  sandbox::WallSet required;
};

// All that a server can name: the share, and its own descriptors in /proc.
struct ShareHandles {
  sys::Dir root;
  sys::Dir own_descriptors;  // share::ServerOptions::proc_self_fd
};

// Forks a process that walls itself in and then runs `serve`, whose result is its exit code. `control` is the
// one descriptor that it keeps. Exit code 1: the walls could not be built; the reason is in the log. Needs
// root, one thread.
Result<sys::Child> fork_behind_share_walls(const ShareWalls& walls, int control, const Log& log,
                                           const std::function<int(ShareHandles)>& serve);

}  // namespace cloister::enclave
