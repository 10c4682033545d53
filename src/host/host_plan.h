// `cloister host prepare`: what is to be done so that a machine can run Nitro enclaves. A function of facts;
// nothing is asked or changed here.
#pragma once

#include "host/nitro_host.h"

namespace cloister::host {

inline constexpr const char* kAllocatorUnit = "nitro-enclaves-allocator.service";
inline constexpr const char* kNitroGroup =
    "ne";  // whose members may start enclaves; nitro-cli's package makes it
inline constexpr const char* kAllocatorBackup = "/etc/nitro_enclaves/allocator.yaml.before";

struct HostFacts {
  NitroHost nitro;
  bool nitro_cli = false;       // on the PATH
  bool unit_exists = false;     // the allocator's service
  bool unit_active = false;     // it has run, and without failing
  bool unit_enabled = false;    // it runs at boot
  bool group_exists = false;    // ne
  bool user_exists = false;     // of the wish
  bool user_is_member = false;  // of ne
  std::uint64_t running_enclaves = 0;
};

struct HostWish {
  std::uint64_t memory_mib = 0;  // for all enclaves together; 0: what the allocator's file says
  std::uint64_t cpus = 0;        // likewise
  std::string user;              // who is to start enclaves; empty: nobody but root
};

// Either a command, or a file with its text.
struct HostStep {
  std::string what;
  std::vector<std::string> command;
  std::string file;
  std::string text;
};

struct HostPlan {
  std::uint64_t memory_mib = 0;
  std::uint64_t cpus = 0;
  std::vector<HostStep> steps;     // in this order; none: all is as it should be
  std::vector<std::string> notes;  // what may go wrong, and what is to be done by hand
};

// not_found: what this machine lacks. invalid: a wish that it cannot meet. unavailable: enclaves run that
// would have to end. Each with a hint.
Result<HostPlan> plan_host(const HostFacts& facts, const HostWish& wish);

// After the steps: that it is there. exhausted: how much the allocator got, and what to do. `said`: the
// service's own last word, if it failed.
Status check_host(const NitroHost& host, const HostPlan& plan, const std::string& said);

}  // namespace cloister::host
