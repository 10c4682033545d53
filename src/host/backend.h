// Starting and ending enclaves, whatever they are made of: processes of this machine, a machine under QEMU,
// or what AWS's nitro-cli starts.
#pragma once

#include <functional>
#include <vector>

#include "host/background.h"
#include "host/enclave_record.h"

namespace cloister::host {

inline constexpr sys::milliseconds kStopTimeout = sys::seconds(10);

struct UpOptions {
  std::string name = kDefaultEnclave;
  std::string backend = "process";
  std::string group;  // whose members may use it beside its starter; empty: nobody
  // process
  std::string kms_ca;                  // PEM file: who vouches for the embedded KMS
  std::uint64_t share_mib = 0;         // quota of each client's share; 0: a quarter of this machine's memory
  std::uint64_t share_budget_mib = 0;  // for all shares together; 0: half of this machine's memory
  // qemu, nitro
  std::string image;             // EIF
  std::uint64_t memory_mib = 0;  // 0: what the image asks for
  std::uint64_t cpus = 0;        // 0: likewise
  bool debug = false;            // the console is kept, and the registers are zero
  std::string accelerator;       // qemu: kvm or tcg; empty: kvm where it works
  std::uint64_t cid = 0;         // nitro: the enclave's vsock address; 0: nitro-cli chooses
};

// invalid: no such backend, options of another. denied: not root. unavailable: an enclave of this name runs
// already, or the new one did not come up (why is in the error).
Result<EnclaveRecord> start_enclave(const Paths& paths, const Environment& environment,
                                    const UpOptions& options);

// Ends it and everything in it, and removes what `up` made. Success if it has ended already.
Status stop_enclave(const Paths& paths, const Environment& environment, const EnclaveRecord& record);

// Whether it runs, as its backend knows it.
struct EnclaveState {
  bool running = false;
  std::string problem;  // the backend could not be asked, and why
};
EnclaveState state_of(const EnclaveRecord& record, const Environment& environment);

std::string enclave_log_path(const Paths& paths, const std::string& name);
// What a machine's kernel and supervisor print; of a --debug enclave only.
std::string enclave_console_path(const Paths& paths, const std::string& name);

// --- For backends -----------------------------------------------------------------------------------------

// The process that stands for an enclave: when it ends, so has the enclave.
struct Started {
  pid_t pid = -1;
  sys::Endpoint control;
  std::string sign;  // a file: nobody connects before it is there; empty: at once
};
// Waits until the enclave can be connected to. unavailable: its process has ended, the signals that are held
// came, or the timeout; `log` is then quoted.
Status await_start(const Started& started, sys::milliseconds timeout, const std::string& log,
                   const HeldSignals& held);

// The directory of a running enclave, 0700, and in it parent/.
Status make_run_directory(const std::string& directory);

}  // namespace cloister::host
