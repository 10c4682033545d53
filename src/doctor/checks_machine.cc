#include <fmt/format.h>

#include <utility>

#include "doctor/checks.h"

namespace cloister::doctor {

namespace {

using Version = std::pair<unsigned, unsigned>;
// close_range(2), without which nothing of Cloister's starts a process. The newest call that all of it needs.
constexpr Version kNeeded{5, 9};
// Idmapped tmpfs (fs/tmpfs: "tmpfs: add support for idmapped mounts", 6.3): each job's user is another.
constexpr Version kIdmap{6, 3};
// user.* attributes on tmpfs.
constexpr Version kAttributes{6, 6};
constexpr std::uint64_t kLogMib = 16;  // for an enclave's log, record and sockets
constexpr std::uint64_t kMebibyte = 1024 * 1024;

bool simulated(const Facts& facts) {
  return facts.asked.backend == "process";
}

void check_kernel(const Facts& facts, Findings& out) {
  const auto& machine = facts.machine;
  Version has{machine.kernel_major, machine.kernel_minor};
  if (has < kNeeded) {
    out.problem("kernel", fmt::format("Linux {} is older than the 5.9 that Cloister needs", machine.kernel),
                "boot a newer kernel: Debian 12 has 6.1, Amazon Linux 2023 has 6.1 and 6.12");
  } else if (simulated(facts) && has < kAttributes) {
    out.note("kernel",
             fmt::format("Linux {}: the simulated enclave's folder has no user.* attributes before 6.6{}",
                         machine.kernel,
                         has < kIdmap ? ", and its jobs run as the folder's owner before 6.3" : ""));
  } else {
    out.fine("kernel", fmt::format("Linux {}", machine.kernel));
  }
}

// A simulated enclave is processes of this machine: it has the walls that this kernel has.
void check_simulation(const Facts& facts, Findings& out) {
  const auto& machine = facts.machine;
  if (machine.uid == 0)
    out.fine("root", "you are root, who builds the walls of jobs");
  else if (!facts.running || !facts.running->alive)
    out.problem("root",
                fmt::format("you are {}, and a simulated enclave needs root, to build the walls of jobs",
                            machine.user),
                "sudo -E cloister up --group \"$(id -gn)\"");
  if (machine.user_namespaces)
    out.fine("user-namespaces", "user namespaces are there, for the folder's server");
  else
    out.problem("user-namespaces", "user namespaces are off, and the folder's server runs in one",
                "sysctl -w user.max_user_namespaces=15000; if there is no such setting, a kernel with "
                "CONFIG_USER_NS");
  if (machine.landlock)
    out.fine("landlock", "Landlock is on");
  else
    out.warn(
        "landlock", "Landlock is off: jobs have a wall less, and `run` says so",
        "add landlock to lsm= of the kernel's command line, for example lsm=landlock,lockdown,yama,apparmor");
  if (machine.cgroup_memory)
    out.fine("cgroup", "cgroup v2 limits memory and processes of a job as a whole");
  else
    out.note(
        "cgroup",
        "no cgroup v2 with memory and pids here: limits hold for each process of a job, not for all of them");
  if (machine.python)
    out.fine("python", "/usr/bin/python3 is there");
  else
    out.warn("python",
             "there is no /usr/bin/python3, so applications in Python do not run in a simulated enclave",
             "apt-get install python3");
}

void check_folder(const Machine& machine, Findings& out) {
  if (machine.fuse)
    out.fine("fuse", "/dev/fuse is there");
  else
    out.problem("fuse", "there is no /dev/fuse, so `cloister sync` cannot mount the shared folder",
                machine.container ? "start the container with --device /dev/fuse --cap-add SYS_ADMIN"
                                  : "modprobe fuse");
  if (machine.uid == 0) return;  // mounts by itself
  if (!machine.fusermount)
    out.problem("fusermount", fmt::format("there is no fusermount3, which mounts for {}", machine.user),
                "apt-get install fuse3 (Amazon Linux: dnf install fuse3)");
  else if (!*machine.fusermount)
    out.problem("fusermount",
                fmt::format("fusermount3 is not setuid root, so it mounts nothing for {}", machine.user),
                "chmod u+s \"$(command -v fusermount3)\"");
  else
    out.fine("fusermount", "fusermount3 is setuid root");
}

// What `up` writes there: of the backend qemu kernel and ramdisks as files, while it boots.
void check_space(const Facts& facts, Findings& out) {
  if (!facts.run_directory) return;
  auto needed = kLogMib;
  if (facts.asked.backend == "qemu" && facts.image) needed += facts.image->file_bytes / kMebibyte;
  const auto& space = *facts.run_directory;
  if (space.free_mib < needed)
    out.problem("run-space",
                fmt::format("{} has {} MiB left, and starting this enclave takes {}", space.path,
                            space.free_mib, needed),
                "make room there, or name another directory: export CLOISTER_RUN=DIR");
  else
    out.fine("run-space", fmt::format("{} has {} MiB left", space.path, space.free_mib));
}

}  // namespace

void check_machine(const Facts& facts, Findings& out) {
  check_kernel(facts, out);
  if (simulated(facts)) check_simulation(facts, out);
  check_space(facts, out);
  check_folder(facts.machine, out);
}

}  // namespace cloister::doctor
