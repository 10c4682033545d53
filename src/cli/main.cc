#include "cli/main.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/verbs.h"

namespace cloister::cli {

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);  // credentials and keys pass through: no core dump, no ptrace by the same user
  auto environment = kms::process_environment();
  auto paths = host::Paths::find(environment, ::geteuid() == 0);
  if (!paths) {
    print_error(paths.error());
    return kExitFailure;
  }
  Context context{
      .paths = *paths, .environment = environment, .clock = {}, .terminal = ::isatty(STDOUT_FILENO) == 1};
  CommandLine line;
  for (auto add : {add_encrypt, add_inspect, add_key, add_signer, add_image, add_host, add_up, add_down,
                   add_status, add_logs, add_console, add_proxy, add_sync, add_run, add_jobs, add_diagnose,
                   add_verify, add_doctor, add_kms}) {
    add(line, context);
  }
  return line.run(argc, argv);
}

}  // namespace cloister::cli
