// The application itself: the processes inside the walls, from the launcher's side.
#pragma once

#include "enclave/entry_point.h"
#include "package/manifest.h"
#include "sandbox/cgroup.h"
#include "sandbox/reaper.h"
#include "sandbox/root.h"
#include "sandbox/wall.h"
#include "sys/process.h"

namespace cloister::enclave {

struct JobProcessPlan {
  Command command;
  std::vector<std::string> environment;  // "NAME=value", all of it
  sandbox::Root root;
  uid_t user = 0;
  package::Limits limits;
  sandbox::WallSet required;
  sandbox::WallReport launcher_walls;  // what the launcher built before (idmap, cgroups)
  const sandbox::Cgroup* cgroup = nullptr;
  int standard_output = -1;  // borrowed
  int standard_error = -1;   // borrowed
};

// A started application. Dropping it kills everything in its pid namespace.
struct JobProcess {
  sys::Child init;
  sys::Fd report;  // one sandbox::InitReport when the application has ended
  sandbox::WallReport walls;
};

// Returns once the walls stand and the application is about to be executed. denied: a required wall is
// missing.
Result<JobProcess> start_job_process(const JobProcessPlan& plan);

// After init has ended. Its last word, or failed.
sandbox::InitReport read_report(const JobProcess& process);

}  // namespace cloister::enclave
