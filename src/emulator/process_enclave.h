// A simulated enclave out of processes: the namespaces and the root that stand in for a virtual machine. Only
// cloisterd-sim links this.
#pragma once

#include <string>

#include "base/log.h"
#include "base/result.h"

namespace cloister::emulator {

// Where things are inside, whatever they are called on the host.
inline constexpr const char* kInsideTrust = "/etc/cloister/trust.json";
inline constexpr const char* kInsideRuntime = "/etc/cloister/runtime.json";
inline constexpr const char* kInsideSupervisor = "/etc/cloister/supervisor";
inline constexpr const char* kInsideRun = "/run/cloister";     // shared with the host: sockets
inline constexpr const char* kInsideState = "/run/cloisterd";  // a tmpfs of the enclave's own

struct ProcessEnclave {
  std::string run_directory;
  std::string trust_file;
  std::string runtime_file;
};

// Builds the root in the calling process's own new namespaces and enters it. What remains visible of the
// host: its system directories (read-only), the measured files, and the run directory.
Status enter_process_enclave(const ProcessEnclave& enclave);

}  // namespace cloister::emulator
