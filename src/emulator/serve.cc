#include "emulator/serve.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <functional>

#include "base/log.h"
#include "emulator/installation.h"
#include "emulator/instance_lock.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::emulator {

namespace {

constexpr std::size_t kMaxReadyLine = 4096;  // bytes
constexpr std::string_view kFailed = "failed: ";

using Announce = std::function<Status(const std::string& line)>;

// Readable once SIGTERM or SIGINT has come. Threads made afterwards inherit the mask.
Result<sys::Fd> stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("block signals");
  ::signal(SIGPIPE, SIG_IGN);
  sys::Fd fd(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

// Key material is in this process.
Status forbid_core_dumps() {
  rlimit none{};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("forbid core dumps");
  return {};
}

Result<sys::Endpoint> endpoint_of(const ServeOptions& options, const Settings& settings) {
  return sys::Endpoint::parse(options.listen.value_or(fmt::format("tcp://127.0.0.1:{}", settings.port)));
}

Status run(const ServeOptions& options, const Log& log, const Announce& announce) {
  TRY(forbid_core_dumps());
  auto stop = TRY(stop_signals());
  auto installation = TRY(Installation::open(options.directory));
  auto lock = TRY(InstanceLock::take(Installation::lock_path(options.directory)).context(options.directory));
  TrustedRoots roots(options.development_roots);
  if (auto readable = roots.check(); !readable) {
    log.warning("development root, looked for again at each use: {}", readable.error().message());
  }
  std::optional<ServerIdentity> identity;
  if (!options.plain_http) identity = TRY(installation.identity());
  auto endpoint = TRY(endpoint_of(options, installation.store().settings()));
  auto server = TRY(Server::listen(endpoint, std::move(identity)));
  if (options.pid_file)
    TRY(sys::write_file_atomic(*options.pid_file, as_bytes(fmt::format("{}\n", ::getpid()))));
  Api api(installation.store(), roots);
  sys::SystemClock clock;
  TRY(announce(fmt::format("listening on {}\n", server.url())));
  auto ended = server.run(api, clock, stop.get(), log);
  if (options.pid_file) ::unlink(options.pid_file->c_str());
  log.info("ended");
  return ended;
}

// Standard input from nowhere, output and errors to the log.
Status redirect_to_log(const std::string& directory) {
  sys::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  sys::Fd log(
      ::open(Installation::log_path(directory).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!null || !log) return fail_errno(Installation::log_path(directory));
  bool moved = ::dup2(null.get(), STDIN_FILENO) >= 0 && ::dup2(log.get(), STDOUT_FILENO) >= 0 &&
               ::dup2(log.get(), STDERR_FILENO) >= 0;
  if (!moved) return fail_errno("dup2");
  return {};
}

// The detached process. Until it is ready its errors still reach the terminal.
int detached_main(const ServeOptions& options, const Log& log, sys::Fd ready) {
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::setsid();
  // Whoever waits for the end of a pipe of the caller's must not wait for this process.
  if (!sys::close_descriptors_except(STDERR_FILENO + 1, {ready.get()})) return 1;
  auto status = run(options, log, [&](const std::string& line) -> Status {
    TRY(redirect_to_log(options.directory));
    TRY(sys::write_all(ready.get(), as_bytes(line), "announce"));
    ready.reset();
    return {};
  });
  if (status) return 0;
  // Before it is ready whoever started it tells; after that the log is all there is.
  if (ready) {
    auto line = fmt::format("{}{}\n{}", kFailed, status.error().message(), status.error().hint());
    (void)sys::write_all(ready.get(), as_bytes(line), "ready").has_value();
  } else {
    log.error("{}", status.error().message());
  }
  return 1;
}

// What the detached process said instead of its address.
Error why_it_failed(std::string_view said) {
  if (!said.starts_with(kFailed)) return Error(ErrorKind::unavailable, "the service did not start");
  said.remove_prefix(kFailed.size());
  auto end = std::min(said.find('\n'), said.size());
  Error error(ErrorKind::unavailable, std::string(said.substr(0, end)));
  return std::move(error).with_hint(std::string(said.substr(std::min(end + 1, said.size()))));
}

Status announce_on(const ServeOptions& options, const std::string& line) {
  int fd = options.ready_fd.value_or(STDOUT_FILENO);
  TRY(sys::write_all(fd, as_bytes(line), "announce"));
  if (options.ready_fd) ::close(fd);
  return {};
}

}  // namespace

Status serve(const ServeOptions& options) {
  Log log(STDERR_FILENO, "cloister-kms");
  return run(options, log, [&](const std::string& line) { return announce_on(options, line); });
}

Status serve_detached(const ServeOptions& options) {
  Log log(STDERR_FILENO, "cloister-kms");
  auto ready = TRY(sys::make_pipe());
  auto child = TRY(sys::fork_child([&] {
    ready.read.reset();
    return detached_main(options, log, std::move(ready.write));
  }));
  ready.write.reset();
  auto line = TRY(sys::read_all(ready.read.get(), kMaxReadyLine, "wait for the service"));
  if (line.empty() || as_text(line).starts_with(kFailed)) {
    TRY(child.wait());
    return std::unexpected(why_it_failed(as_text(line)));
  }
  child.let_go();
  return announce_on(options, std::string(as_text(line)));
}

}  // namespace cloister::emulator
