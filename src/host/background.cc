#include "host/background.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "host/enclave_record.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace cloister::host {

namespace {

// Variables that a detached process may need: the names of our own settings, and fusermount3 is found by
// PATH.
constexpr std::string_view kKept[] = {"CLOISTER_", "HOME=",   "LANG=", "LC_",
                                      "PATH=",     "TMPDIR=", "TZ=",   "XDG_"};

// The variables of whoever starts it would stay in its memory and in /proc/PID/environ as long as it runs,
// AWS credentials among them. Nobody else reads the environment: the child has one thread.
void forget_environment() {
  char** kept = environ;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    bool needed = std::ranges::any_of(kKept, [&](auto name) { return text.starts_with(name); });
    if (needed)
      *kept++ = *entry;
    else
      ::explicit_bzero(*entry, text.size());
  }
  *kept = nullptr;
}

// In the child: nothing shared with the terminal or the caller.
bool detach(const std::string& log, int keep) {
  ::setsid();
  forget_environment();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // the caller may hold signals back
  int null_device = ::open("/dev/null", O_RDONLY);
  int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (null_device < 0 || out < 0) return false;
  ::dup2(null_device, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  return sys::close_descriptors_except(3, {keep}).has_value();
}

bool running(pid_t pid, std::uint64_t started) {
  ::waitpid(pid, nullptr, WNOHANG);  // ours or not: a zombie of ours would count as running
  return started != 0 && process_start_time(pid) == started;
}

}  // namespace

HeldSignals::HeldSignals() {
  sigemptyset(&set_);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, number);
  ::sigprocmask(SIG_BLOCK, &set_, &before_);
}

HeldSignals::~HeldSignals() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

bool HeldSignals::came() const {
  sigset_t pending;
  sigpending(&pending);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (sigismember(&pending, number) == 1) return true;
  }
  return false;
}

Result<pid_t> fork_in_background(const std::function<int()>& body, const std::string& log, int keep) {
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) ::_exit(detach(log, keep) ? body() : 127);
  return pid;
}

Result<pid_t> start_in_background(const std::vector<std::string>& argv, const std::string& log) {
  if (::access(argv.front().c_str(), X_OK) != 0) return fail_errno(argv.front());
  std::vector<char*> raw;
  raw.reserve(argv.size() + 1);
  for (const auto& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  return fork_in_background(
      [&raw] {
        char* none[] = {nullptr};  // credentials of whoever types `up` are not the enclave's
        ::execve(raw[0], raw.data(), none);
        return 127;
      },
      log);
}

Status stop_in_background(pid_t pid, std::uint64_t started, sys::milliseconds timeout) {
  if (pid <= 1 || !running(pid, started)) return {};
  if (::kill(pid, SIGTERM) != 0) return fail_errno(fmt::format("end process {}", pid));
  auto deadline = sys::Deadline::after(timeout);
  while (running(pid, started)) {
    if (deadline.passed()) {
      ::kill(pid, SIGKILL);
      deadline = {};
    }
    ::poll(nullptr, 0, 10);
  }
  return {};
}

}  // namespace cloister::host
