#include "sandbox/reaper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "sandbox/identity.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace cloister::sandbox {

namespace {

constexpr int kFailed = 125;  // as `cloister run` exits
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kAboveStdio = 10;  // where descriptors wait that are to become 0, 1 and 2
constexpr int kPassedOn[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

// Over a close-on-exec pipe: nothing at all if execve took place.
struct StartFailure {
  std::uint32_t in_execve = 0;
  std::int32_t error = 0;
};

[[noreturn]] void give_up(int pipe, bool in_execve) {
  StartFailure failure{in_execve ? 1U : 0U, errno};
  (void)!::write(pipe, &failure, sizeof failure);
  ::_exit(kFailed);
}

// The supervisor's signal settings must not reach the application: an ignored SIGPIPE would stay ignored.
void reset_signals() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool place_stdio(const ExecPlan& plan) {
  int sources[] = {plan.stdin_fd, plan.stdout_fd, plan.stderr_fd};
  // First out of each other's way, then into place.
  for (int& fd : sources) {
    if ((fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kAboveStdio)) < 0) return false;
  }
  for (int target = 0; target < 3; ++target) {
    if (::dup2(sources[target], target) < 0) return false;
  }
  return true;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

[[noreturn]] void become_application(const ExecPlan& plan, int pipe) {
  auto argv = pointers(plan.argv);
  auto env = pointers(plan.env);
  reset_signals();
  if (!place_stdio(plan)) give_up(pipe, false);
  if (auto closed = sys::close_descriptors_except(3, {pipe}); !closed) give_up(pipe, false);
  if (::chdir(plan.working_directory.c_str()) != 0) give_up(pipe, false);
  ::execve(plan.path.c_str(), argv.data(), env.data());
  give_up(pipe, true);
}

std::optional<InitReport> start_failure(int pipe) {
  StartFailure failure;
  ssize_t n;
  while ((n = ::read(pipe, &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (n == 0) return {};
  if (n != sizeof failure) return InitReport{ApplicationEnd::failed, EIO};
  if (failure.in_execve == 0) return InitReport{ApplicationEnd::failed, failure.error};
  bool missing = failure.error == ENOENT || failure.error == ENOTDIR;
  return InitReport{missing ? ApplicationEnd::not_found : ApplicationEnd::not_executable, failure.error};
}

// Reaps everything that has ended; an answer once the application is among it.
std::optional<InitReport> reap(pid_t application) {
  std::optional<InitReport> report;
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != application) continue;
    report = WIFSIGNALED(status) ? InitReport{ApplicationEnd::signalled, WTERMSIG(status)}
                                 : InitReport{ApplicationEnd::exited, WEXITSTATUS(status)};
  }
  return report;
}

bool is_passed_on(int number) {
  for (int passed : kPassedOn) {
    if (passed == number) return true;
  }
  return false;
}

InitReport watch(pid_t application, const sigset_t& all) {
  for (;;) {
    if (auto report = reap(application)) return *report;
    int number = ::sigwaitinfo(&all, nullptr);
    if (number > 0 && is_passed_on(number)) ::kill(application, number);
  }
}

bool launcher_is_dead(int report_fd) {
  pollfd events{report_fd, POLLOUT, 0};
  return ::poll(&events, 1, 0) == 1 && (events.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

InitReport start_and_watch(const ExecPlan& plan) {
  // Not served by a handler but taken from the queue: no code runs between two instructions of ours, and a
  // blocked signal reaches pid 1, which would not get one that it leaves at its default.
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  auto pipe = sys::make_pipe();
  if (!pipe) return {ApplicationEnd::failed, errno};
  pid_t application = ::fork();  // not fork_child(): the job's filter has no clone3
  if (application < 0) return {ApplicationEnd::failed, errno};
  if (application == 0) become_application(plan, pipe->write.get());
  pipe->write.reset();
  // The application's streams must end with the application, so nobody else may hold them.
  (void)sys::close_descriptors_except(0, {plan.report_fd, pipe->read.get()});
  auto failure = start_failure(pipe->read.get());
  return failure ? *failure : watch(application, all);
}

}  // namespace

int InitReport::shell_code() const {
  switch (end) {
    case ApplicationEnd::exited:
      return code >= 0 && code <= 255 ? code : kFailed;
    case ApplicationEnd::signalled:
      return code > 0 && code < NSIG ? 128 + code : kFailed;
    case ApplicationEnd::not_executable:
      return kNotExecutable;
    case ApplicationEnd::not_found:
      return kNotFound;
    case ApplicationEnd::failed:
      break;
  }
  return kFailed;
}

int run_as_init(const ExecPlan& plan) {
  // The application has our uid: without this it could read what this fork has of the launcher's memory.
  if (auto closed = set_not_dumpable(); !closed) return kFailed;
  if (plan.report_fd >= 0 && launcher_is_dead(plan.report_fd)) return kFailed;
  ::signal(SIGPIPE, SIG_IGN);
  InitReport report = start_and_watch(plan);
  if (plan.report_fd >= 0) (void)!::write(plan.report_fd, &report, sizeof report);
  return report.shell_code();
}

}  // namespace cloister::sandbox
