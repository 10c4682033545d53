#include "host/process_backend.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>

#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kMaxShareMib = 16ULL * 1024 * 1024;  // 16 TiB

std::uint64_t default_share_mib() {
  struct sysinfo info{};
  ::sysinfo(&info);
  return std::max<std::uint64_t>(64, std::uint64_t{info.totalram} * info.mem_unit / kMib / 4);
}

std::vector<std::string> supervisor_arguments(const Paths& paths, const UpOptions& options,
                                              const Simulation& simulation) {
  auto share_mib = options.share_mib != 0 ? options.share_mib : default_share_mib();
  std::vector<std::string> out{
      simulation.supervisor,    "--run-directory", paths.enclave(options.name), "--trust",
      simulation.trust_file,    "--runtime",       simulation.runtime_file,     "--development-root",
      paths.development_root(), "--share-mib",     std::to_string(share_mib)};
  if (options.share_budget_mib != 0) {
    out.insert(out.end(), {"--share-budget-mib", std::to_string(options.share_budget_mib)});
  }
  return out;
}

// A number of MiB that no machine has would wrap as bytes.
Status check_sizes(const UpOptions& options) {
  for (auto [name, mib] : {std::pair{"--share-mib", options.share_mib},
                           std::pair{"--share-budget-mib", options.share_budget_mib}}) {
    if (mib > kMaxShareMib) return fail(ErrorKind::invalid, "{} is at most {}", name, kMaxShareMib);
  }
  if (options.share_budget_mib == 0 || options.share_mib <= options.share_budget_mib) return {};
  Error error(ErrorKind::invalid,
              fmt::format("a folder of {} MiB is more than the {} MiB that all folders together may have",
                          options.share_mib, options.share_budget_mib));
  return std::unexpected(std::move(error).with_hint("lower --share-mib, or raise --share-budget-mib"));
}

// control.sock and lanes.sock are the enclave's; parent/ is the one directory that its keeper sees of the
// host.
EnclaveRecord make_record(const Paths& paths, const UpOptions& options, const Simulation& simulation) {
  auto directory = paths.enclave(options.name);
  EnclaveRecord record;
  record.name = options.name;
  record.backend = "process";
  record.mode = "simulated";
  record.control = sys::Endpoint::unix_socket(directory + "/control.sock");
  record.lanes = sys::Endpoint::unix_socket(directory + "/lanes.sock");
  record.proxy = sys::Endpoint::unix_socket(directory + "/parent/proxy.sock");
  record.measurements = simulation.measurements;
  return record;
}

}  // namespace

Result<EnclaveRecord> start_process_enclave(const Paths& paths, const UpOptions& options,
                                            const HeldSignals& held) {
  TRY(check_sizes(options));
  if (::geteuid() != 0)
    return fail(ErrorKind::denied, "the process backend needs root, to build the walls of jobs");
  auto simulation = TRY(compose_simulation(paths.state + "/simulated/" + options.name, options.kms_ca));
  TRY(make_run_directory(paths.enclave(options.name)));
  auto log = enclave_log_path(paths, options.name);
  auto record = make_record(paths, options, simulation);
  record.pid = TRY(start_in_background(supervisor_arguments(paths, options, simulation), log));
  record.started = process_start_time(record.pid);
  if (auto up = await_start({record.pid, record.control}, kStartTimeout, log, held); !up) {
    TRY(stop_in_background(record.pid, record.started, kStopTimeout));
    return std::unexpected(up.error());
  }
  auto root = TRY(sys::read_file(paths.development_root() + "/root.pem", kMaxRecord));
  record.root_pem = std::string(as_text(root));
  return record;
}

}  // namespace cloister::host
