#include "emulator/simulated_supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>

#include "image/simulated.h"
#include "sandbox/namespaces.h"
#include "sys/process.h"

namespace cloister::emulator {

namespace {

constexpr std::size_t kModuleIdBytes = 8;

Result<std::uint64_t> number_of(const std::string& text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0)
    return fail(ErrorKind::invalid, "'{}' is not a positive number", text);
  return value;
}

// Waits for the enclave's first process, passing ending signals on to it.
Result<int> wait_and_forward(sys::Child& enclave, int signals) {
  for (;;) {
    std::array<pollfd, 2> entries{{{enclave.pidfd(), POLLIN, 0}, {signals, POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (entries[0].revents != 0) return TRY(enclave.wait()).shell_code();
    signalfd_siginfo info{};
    if (entries[1].revents != 0 && ::read(signals, &info, sizeof info) == sizeof info) {
      (void)enclave.signal(static_cast<int>(info.ssi_signo)).has_value();  // it may have ended meanwhile
    }
  }
}

}  // namespace

Result<SupervisorOptions> parse_supervisor_options(int argc, char** argv) {
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  SupervisorOptions out;
  for (auto [name, target] : std::initializer_list<std::pair<const char*, std::string*>>{
           {"--run-directory", &out.enclave.run_directory},
           {"--trust", &out.enclave.trust_file},
           {"--runtime", &out.enclave.runtime_file},
           {"--development-root", &out.development_root}}) {
    auto value = given.extract(name);
    if (value.empty() || !value.mapped().starts_with('/'))
      return fail(ErrorKind::invalid, "{} needs an absolute path", name);
    *target = value.mapped();
  }
  for (auto [name, target] :
       {std::pair{"--share-mib", &out.share_mib}, std::pair{"--share-budget-mib", &out.share_budget_mib}}) {
    if (auto value = given.extract(name); !value.empty())
      *target = TRY(number_of(value.mapped()).context(name));
  }
  if (!given.empty() || argc % 2 == 0)
    return fail(ErrorKind::invalid, "unknown or incomplete option (cloister up starts this program)");
  return out;
}

int run_in_process_enclave(const SupervisorOptions& options, const Log& log,
                           const std::function<Status()>& body) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  sys::Fd signals(::signalfd(-1, &ending, SFD_CLOEXEC));
  auto enclave = sys::fork_child(
      [&] {
        auto done = enter_process_enclave(options.enclave);
        if (done) done = body();
        if (!done) log.error("{}", done.error().message());
        return done ? 0 : 1;
      },
      sandbox::kJobNamespaces);
  auto code =
      enclave ? wait_and_forward(*enclave, signals.get()) : Result<int>(std::unexpected(enclave.error()));
  if (!code) log.error("{}", code.error().message());
  return code.value_or(1);
}

Result<std::unique_ptr<attestation::NsmDevice>> open_simulated_nsm(const DevelopmentRoot& root,
                                                                   const sys::Clock& clock) {
  auto parts = TRY(image::measure_parts(kInsideSupervisor, kInsideTrust, kInsideRuntime));
  auto module = fmt::format("i-simulated-enc{}", to_hex(crypto::random_bytes(kModuleIdBytes)));
  return TRY(EmulatedNsm::create(root, module, image::simulated_measurements(parts).pcrs, clock));
}

}  // namespace cloister::emulator
