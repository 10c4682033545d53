// cloisterd-sim: the supervisor of a simulated enclave. The same processes as cloisterd, with an emulated NSM
// under a development root and a trust file that must say "simulated". Nothing here is confidential, and
// nothing that it attests to claims so.
#include <unistd.h>

#include "emulator/simulated_supervisor.h"
#include "enclave/monitor.h"

namespace {

using namespace cloister;

Status run_inside(const emulator::SupervisorOptions& options, const emulator::DevelopmentRoot& root,
                  const Log& log) {
  static const sys::SystemClock clock;
  std::string sockets = emulator::kInsideRun;
  enclave::MonitorOptions monitor{
      .trust = TRY(enclave::Trust::load(emulator::kInsideTrust, {enclave::Mode::simulated})),
      .open_nsm = [&root] { return emulator::open_simulated_nsm(root, clock); },
      .control = sys::Endpoint::unix_socket(sockets + "/control.sock"),
      .lanes = sys::Endpoint::unix_socket(sockets + "/lanes.sock"),
      .proxy = sys::Endpoint::unix_socket(sockets + "/parent/proxy.sock"),
      .state_path = emulator::kInsideState,
      .share_bytes = options.share_mib << 20,
      .share_budget_bytes = options.share_budget_mib << 20};
  return enclave::run_monitor(std::move(monitor), log);
}

}  // namespace

int main(int argc, char** argv) {
  Log log(STDERR_FILENO, "cloisterd-sim");
  auto options = emulator::parse_supervisor_options(argc, argv);
  if (!options) {
    log.error("{}", options.error().message());
    return 2;
  }
  auto root = emulator::DevelopmentRoot::load_or_create(options->development_root, sys::SystemClock().now());
  if (!root) {
    log.error("development root: {}", root.error().message());
    return 1;
  }
  return emulator::run_in_process_enclave(*options, log, [&] { return run_inside(*options, *root, log); });
}
