#include "emulator/process_enclave.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>

#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sandbox/system_directories.h"

namespace cloister::emulator {

namespace {

using sandbox::Mount;

constexpr std::uint64_t kStateBytes =
    64ULL << 20;  // directories and mount points only: shares and packages have tmpfs of their own

Mount bind(std::string source, std::string target, bool read_only) {
  return {.kind = Mount::Kind::bind,
          .target = std::move(target),
          .source = std::move(source),
          .recursive = false,
          .read_only = read_only};
}

// By its path: /proc/self/exe leads to a mount of the namespace that this process has left.
Result<std::string> own_program() {
  std::array<char, 4096> path{};
  ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (n <= 0) return fail_errno("/proc/self/exe");
  return std::string(path.data(), static_cast<std::size_t>(n));
}

// The cgroup v2 hierarchy, if this machine has one: with controllers delegated, jobs get limits of their own.
void add_cgroups(sandbox::RootPlan& plan) {
  struct statfs info{};
  constexpr const char* kCgroups = "/sys/fs/cgroup";
  if (::statfs(kCgroups, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC)
    plan.mounts.push_back(bind(kCgroups, kCgroups, false));
}

}  // namespace

Status enter_process_enclave(const ProcessEnclave& enclave) {
  TRY(sandbox::make_mounts_private());
  sandbox::RootPlan plan;
  sandbox::add_system_directories(plan);
  add_cgroups(plan);
  plan.mounts.push_back(bind(enclave.trust_file, kInsideTrust, true));
  plan.mounts.push_back(bind(enclave.runtime_file, kInsideRuntime, true));
  plan.mounts.push_back(bind(TRY(own_program()), kInsideSupervisor, true));
  plan.mounts.push_back(bind(enclave.run_directory, kInsideRun, false));
  plan.mounts.push_back({.kind = Mount::Kind::tmpfs,
                         .target = kInsideState,
                         .read_only = false,
                         .tmpfs = {.size_bytes = kStateBytes, .mode = 0755}});
  plan.shm.reset();
  // Any empty directory does for a mount point; this one is surely ours, and its bind above, not being
  // recursive, does not show the root in it.
  TRY(sandbox::enter_root(TRY(sandbox::assemble_root(plan, enclave.run_directory + "/parent"))));
  // Writable, unlike a job's: the monitor writes the id maps of its children there. They themselves do not
  // see it.
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid") != 0)
    return fail_errno("mount /proc");
  TRY(sandbox::set_hostname("cloister-enclave"));
  return {};
}

}  // namespace cloister::emulator
