// pid 1 of a job: starts the application, reaps orphans, passes signals on, and tells how the application
// ended.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace cloister::sandbox {

struct ExecPlan {
  std::string path;               // absolute, no search
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // NAME=value
  std::string working_directory = "/";
  int stdin_fd = 0;  // become 0, 1 and 2 of the application; it gets no other
  int stdout_fd = 1;
  int stderr_fd = 2;
  // Where to write one InitReport when the application has ended (a pipe's end); -1: nowhere. If nobody reads
  // it any more when run_as_init() begins, the launcher is dead and nothing is started.
  int report_fd = -1;
};

enum class ApplicationEnd : std::uint32_t {
  exited = 1,      // code: its exit code
  signalled,       // code: the signal
  not_executable,  // code: errno of execve; shell code 126
  not_found,       // code: errno of execve; shell code 127
  failed,          // code: errno of what came before execve (fork, chdir…); shell code 125
};

struct InitReport {
  ApplicationEnd end = ApplicationEnd::failed;
  std::int32_t code = 0;
  // 0-255 as `cloister run` exits: 125, 126, 127, 128 + signal, or the application's own. failed for unknown
  // bytes.
  int shell_code() const;
};
static_assert(std::is_trivially_copyable_v<InitReport>);

// Runs the plan in a child and returns the shell code to _exit() with, when the application has ended; the
// kernel then kills whatever is left in the pid namespace. SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and
// SIGUSR2 are passed on. To be called after contain(), in the first process of a pid namespace (tests also
// run it elsewhere). One thread.
int run_as_init(const ExecPlan& plan);

}  // namespace cloister::sandbox
