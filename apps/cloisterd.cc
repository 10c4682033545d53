// cloisterd: the supervisor of an enclave image, started by its init. Everything that it trusts is in the
// measured trust file; only ports and the parent's CID can be given, by position: CONTROL_PORT LANE_PORT
// PARENT_CID PROXY_PORT.
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdlib>

#include "enclave/image_environment.h"
#include "enclave/monitor.h"

namespace {

using namespace cloister;

// Quota of one client's share: all of them together have half of the memory.
std::uint64_t share_bytes() {
  constexpr std::uint64_t kPart = 4;
  struct sysinfo info{};
  ::sysinfo(&info);
  return std::uint64_t{info.totalram} * info.mem_unit / kPart;
}

std::uint32_t number_at(int argc, char** argv, int index, std::uint32_t otherwise) {
  if (index >= argc) return otherwise;
  return static_cast<std::uint32_t>(std::strtoul(argv[index], nullptr, 10));
}

sys::Endpoint vsock(std::uint32_t cid, std::uint32_t port) {
  return {.kind = sys::Endpoint::Kind::vsock, .host = {}, .path = {}, .cid = cid, .port = port};
}

Status run(int argc, char** argv, const Log& log) {
  constexpr std::uint32_t kAnyCid = 0xffffffff;
  enclave::MonitorOptions monitor{
      .trust = TRY(enclave::Trust::load(enclave::kTrustFilePath,
                                        {enclave::Mode::emulated, enclave::Mode::production})),
      .open_nsm = [] { return attestation::open_nsm_device(); },
      .control = vsock(kAnyCid, number_at(argc, argv, 1, 5000)),
      .lanes = vsock(kAnyCid, number_at(argc, argv, 2, 5001)),
      .proxy = vsock(number_at(argc, argv, 3, 3), number_at(argc, argv, 4, 8001)),
      .state_path = "/run/cloisterd",
      .share_bytes = share_bytes(),
      .environment = TRY(enclave::load_image_environment(enclave::kEnvironmentFile))};
  return enclave::run_monitor(std::move(monitor), log);
}

}  // namespace

int main(int argc, char** argv) {
  Log log(STDERR_FILENO, "cloisterd");
  auto done = run(argc, argv, log);
  if (!done) log.error("{}", done.error().message());
  return done ? 0 : 1;
}
