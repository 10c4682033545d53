// The command line and the outer process of cloisterd-sim.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"
#include "emulator/process_enclave.h"

namespace cloister::emulator {

struct SupervisorOptions {
  ProcessEnclave enclave;
  std::string development_root;  // directory, made on first use
  std::uint64_t share_mib = 1024;
  std::uint64_t share_budget_mib = 0;  // for all shares together; 0: half of the memory
};

// --run-directory, --trust, --runtime, --development-root, --share-mib, --share-budget-mib, each with a
// value. invalid: anything else.
Result<SupervisorOptions> parse_supervisor_options(int argc, char** argv);

// Runs body as pid 1 of a simulated enclave and waits for its end; SIGTERM and SIGINT are passed on. Returns
// the exit code.
int run_in_process_enclave(const SupervisorOptions& options, const Log& log,
                           const std::function<Status()>& body);

// To be called inside: an emulated NSM whose PCRs are those of this supervisor, its trust file and its
// runtime.
Result<std::unique_ptr<attestation::NsmDevice>> open_simulated_nsm(const DevelopmentRoot& root,
                                                                   const sys::Clock& clock);

}  // namespace cloister::emulator
