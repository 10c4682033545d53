// The process backend: a simulated enclave as walled-off processes of this machine. Real in everything but
// confidentiality.
#pragma once

#include "host/enclave_record.h"
#include "host/simulation.h"

namespace cloister::host {

inline constexpr sys::milliseconds kStartTimeout = sys::seconds(20);
inline constexpr sys::milliseconds kStopTimeout = sys::seconds(10);

struct UpOptions {
  std::string name = kDefaultEnclave;
  std::string kms_ca;                  // PEM file: who vouches for the embedded KMS
  std::string group;                   // whose members may use it beside its starter; empty: nobody
  std::uint64_t share_mib = 0;         // quota of each client's share; 0: a quarter of this machine's memory
  std::uint64_t share_budget_mib = 0;  // for all shares together; 0: half of this machine's memory
};

// denied: not root. unavailable: an enclave of this name runs already, or the new one did not come up (its
// log's last lines are in the error).
Result<EnclaveRecord> start_process_enclave(const Paths& paths, const UpOptions& options);

// Ends it and everything in it, and removes what `up` made. Success if it has ended already.
Status stop_process_enclave(const Paths& paths, const EnclaveRecord& record);

std::string enclave_log_path(const Paths& paths, const std::string& name);

}  // namespace cloister::host
