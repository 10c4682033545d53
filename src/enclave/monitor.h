// The monitor: the enclave's first process and the only one that stays root. It forks the others, each behind
// its walls, and serves two requests of the listener: open a client's share, start a job. It parses nothing
// but those fixed structs, and holds no key.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "attestation/nsm.h"
#include "base/log.h"
#include "enclave/trust.h"
#include "sys/endpoint.h"

namespace cloister::enclave {

inline constexpr std::uint64_t kShareBudgetDivisor =
    2;  // shares have half of the memory, unless told otherwise

struct MonitorOptions {
  Trust trust;
  // Called in the module's process, before its walls.
  std::function<Result<std::unique_ptr<attestation::NsmDevice>>()> open_nsm;
  sys::Endpoint control;          // where clients connect
  sys::Endpoint lanes;            // where share lanes connect
  sys::Endpoint proxy;            // where the parent's proxy listens
  std::string state_path;         // an empty directory on a tmpfs of the enclave's own
  std::uint64_t share_bytes = 0;  // quota of each client's share
  // For all shares together. 0: that part of the memory.
  std::uint64_t share_budget_bytes = 0;
  // Variables that the image gives to every job.
  std::map<std::string, std::string> environment;
  // Memory that the enclave has. 0: the machine's.
  std::uint64_t memory_bytes = 0;
};

// Runs until SIGTERM (success), or until the keeper, the listener or the module's process has died (an
// error).
Status run_monitor(MonitorOptions options, const Log& log);

}  // namespace cloister::enclave
