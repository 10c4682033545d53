// The launcher: one process per job, between the order and the end. It opens the package, gets the key of its
// stream from the keeper, has it unpacked by a process that has no key, builds the walls, starts the
// application and tells how it ended. When it dies, in whatever way, its mount namespace and the job's
// processes go with it, and with them every byte of plaintext.
#pragma once

#include <memory>
#include <vector>

#include "base/log.h"
#include "enclave/messages.h"
#include "sandbox/wall.h"

namespace cloister::enclave {

inline constexpr sys::milliseconds kKeyReplyTimeout = sys::seconds(90);

// Everything a launcher is given when it is forked. Ids are those of the supervisor's user namespace.
struct LaunchPlan {
  std::unique_ptr<JobOrder> order;
  std::string share_path;  // the client's share, mounted in the supervisor's namespace
  uid_t share_owner = 0;   // who owns its files
  uid_t job_user = 0;      // this job's own user
  std::string
      work_path;  // an empty directory to mount on; every launcher has the same, each in its own namespace
  sandbox::WallSet required_walls;
  std::map<std::string, std::string> environment;  // of the image, for its jobs
  std::uint64_t memory_bytes = 0;  // of the enclave: what a package asks for is cut to its half
  sys::MessageSocket listener;
  sys::MessageSocket keeper;
  sys::Fd standard_output;
};

// The body of the launcher process: returns its exit code. All that went wrong has been told to the listener.
int run_launcher(LaunchPlan plan, const Log& log);

}  // namespace cloister::enclave
