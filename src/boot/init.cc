#include "boot/init.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>

#include "boot/completeness.h"
#include "boot/entropy.h"
#include "boot/heartbeat.h"
#include "boot/parameters.h"
#include "boot/system.h"
#include "crypto/digest.h"
#include "sys/file.h"

namespace cloister::boot {

namespace {

// 2026-01-01T00:00:00Z. A document of an earlier time than this program is none.
constexpr std::uint64_t kEarliestTime = 1767225600ULL * 1000;  // milliseconds
constexpr std::size_t kClockNonce = 32;                        // bytes

sys::Endpoint parent_at(std::uint32_t cid, std::uint32_t port) {
  return {.kind = sys::Endpoint::Kind::vsock, .host = {}, .path = {}, .cid = cid, .port = port};
}

// The list. Nothing that needs randomness or the time comes before it has both.
Result<Parameters> boot(const Log& log) {
  TRY(move_root());
  auto complete = check_complete();  // before anything is mounted over it; told once there is a console
  TRY(prepare_system());
  TRY(std::move(complete));
  auto command_line = TRY(sys::read_file("/proc/cmdline", kMaxCommandLine));
  auto measured = TRY(sys::read_file(kMeasuredCommandLine, kMaxCommandLine));
  TRY(check_command_line(as_text(command_line), as_text(measured)));
  auto parameters = TRY(parse_parameters(as_text(command_line)));
  auto device = TRY(attestation::open_nsm_device());
  attestation::Nsm nsm(*device);
  TRY(seed_kernel(nsm, credit_kernel).context("entropy"));
  TRY(set_clock_by(nsm).context("clock"));
  TRY(lock_registers(nsm).context("registers"));
  // A parent that does not care for it is no reason not to serve.
  if (auto sent = send_heartbeat(parent_at(parameters.parent_cid, kHeartbeatPort)); !sent)
    log.warning("heartbeat: {}", sent.error().message());
  return parameters;
}

Result<pid_t> start_supervisor(const Parameters& parameters) {
  auto cid = std::to_string(parameters.parent_cid);
  const char* argv[] = {kSupervisor, "5000", "5001", cid.c_str(), "8001", nullptr};
  const char* environment[] = {nullptr};
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    ::execve(kSupervisor, const_cast<char* const*>(argv), const_cast<char* const*>(environment));
    ::_exit(127);
  }
  return pid;
}

// The monitor reaps what its children leave; what comes here was left by the monitor.
int reap_until_ended(pid_t supervisor) {
  for (;;) {
    int status = 0;
    pid_t ended = ::wait(&status);
    if (ended == supervisor) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return 1;
  }
}

}  // namespace

Status set_clock_by(attestation::Nsm& nsm) {
  auto bytes =
      TRY(nsm.attest({.user_data = {}, .nonce = crypto::random_bytes(kClockNonce), .public_key = {}}));
  auto timestamp = TRY(attestation::time_of_own_module(bytes));
  if (timestamp < kEarliestTime)
    return fail(ErrorKind::corrupt, "the security module's time lies before this program's");
  timespec now{.tv_sec = static_cast<std::time_t>(timestamp / 1000),
               .tv_nsec = static_cast<long>(timestamp % 1000) * 1'000'000};
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return fail_errno("set the clock");
  return {};
}

Status lock_registers(attestation::Nsm& nsm) {
  auto description = TRY(nsm.describe());
  return nsm.lock_pcrs(description.max_pcrs);
}

void run_init(const Log& log) {
  ::signal(SIGPIPE, SIG_IGN);
  if (auto parameters = boot(log); !parameters) {
    log.error("{}", parameters.error().message());
  } else if (auto supervisor = start_supervisor(*parameters); !supervisor) {
    log.error("{}", supervisor.error().message());
  } else {
    log.error("the supervisor has ended with code {}", reap_until_ended(*supervisor));
  }
  end_machine();
}

}  // namespace cloister::boot
