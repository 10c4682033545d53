// What `cloister up` writes down about a running enclave, for every later command.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "attestation/measurements.h"
#include "host/paths.h"
#include "host/session.h"
#include "sys/endpoint.h"

namespace cloister::host {

inline constexpr std::size_t kMaxRecord = 256 * 1024;  // bytes
inline constexpr const char* kDefaultEnclave = "default";

struct EnclaveRecord {
  std::string name;
  std::string backend;        // "process", "qemu", "nitro"
  std::string mode;           // "simulated", "emulated", "production", "debug"
  pid_t pid = -1;             // of its outermost process; nitro: of nitro-cli's behind it
  std::uint64_t started = 0;  // that process's start time, in clock ticks since boot: tells a recycled pid
  sys::Endpoint control;
  sys::Endpoint lanes;
  sys::Endpoint proxy;  // where the enclave will look for the parent's proxy
  attestation::Measurements measurements;
  std::string root_pem;    // who vouches for its documents
  std::string machine;     // nitro: nitro-cli's ID for it
  pid_t console_pid = -1;  // nitro, debug: of the process that writes its console down
  std::uint64_t console_started = 0;
  bool own = true;  // noted in paths.run, so that this user started it

  Result<Expectation> expectation() const;
  bool alive() const;
};

Status write_record(const Paths& paths, const EnclaveRecord& record);
// Looked for in paths.run, then in paths.also_run. not_found: no such enclave, with a hint to `cloister up`.
// denied: it is there and not for this user, or somebody else could have written the record.
Result<EnclaveRecord> read_record(const Paths& paths, const std::string& name);
std::vector<EnclaveRecord> list_records(const Paths& paths);

// The start time of a process, 0 if there is none or it has ended.
std::uint64_t process_start_time(pid_t pid);

}  // namespace cloister::host
