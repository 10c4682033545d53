// Carries out what host_plan.h plans: asks the machine, and changes it.
#pragma once

#include "host/host_plan.h"
#include "host/tool.h"

namespace cloister::host {

// The machine that is looked at and changed: files below `root` ("" for this one), programs by `run`.
struct Machinery {
  std::string root;
  RunTool run;
};

// `user`: as in HostWish. What cannot be asked counts as missing.
HostFacts gather_host_facts(const Machinery& machinery, const Environment& environment,
                            const std::string& user);

// One step after the other; stops at the first that fails, except the allocator's: then check_host() says
// what it got.
Status prepare_host(const Machinery& machinery, const HostPlan& plan);

}  // namespace cloister::host
