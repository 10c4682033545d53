#include "boot/system.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/namespaces.h"
#include "sys/fd.h"

namespace cloister::boot {

namespace {

constexpr unsigned long kInert = MS_NOSUID | MS_NODEV | MS_NOEXEC;

struct SystemMount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* options;
};

// In this order: some are mounted on earlier ones. Small: what is large has a tmpfs of its own.
constexpr SystemMount kMounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k"},
    {"proc", "/proc", kInert, "hidepid=invisible"},
    {"sysfs", "/sys", kInert | MS_RDONLY, ""},
    {"cgroup2", "/sys/fs/cgroup", kInert, ""},
    {"tmpfs", "/dev/shm", kInert, "mode=1777,size=16m"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=64m"},
    {"tmpfs", "/tmp", kInert, "mode=0700,size=16m"},
};

struct Setting {
  const char* path;
  const char* value;
};

// A lacking one is no reason not to start: none of them is a wall.
constexpr Setting kSettings[] = {
    {"/proc/sys/kernel/panic_on_oops", "1"},       {"/proc/sys/kernel/kptr_restrict", "2"},
    {"/proc/sys/kernel/dmesg_restrict", "1"},      {"/proc/sys/kernel/core_pattern", "|/nowhere"},
    {"/proc/sys/fs/suid_dumpable", "0"},           {"/proc/sys/kernel/yama/ptrace_scope", "2"},
    {"/proc/sys/fs/protected_hardlinks", "1"},     {"/proc/sys/fs/protected_symlinks", "1"},
    {"/proc/sys/kernel/perf_event_paranoid", "3"}, {"/proc/sys/vm/unprivileged_userfaultfd", "0"},
};

void apply(const Setting& setting) {
  sys::Fd file(::open(setting.path, O_WRONLY | O_CLOEXEC));
  if (file) (void)!::write(file.get(), setting.value, std::char_traits<char>::length(setting.value));
}

Status take_console() {
  sys::Fd console(::open("/dev/console", O_RDWR | O_CLOEXEC));
  if (!console) return fail_errno("/dev/console");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(console.get(), fd) < 0) return fail_errno("console");
  }
  if (console.get() < 3) console.release();
  return {};
}

}  // namespace

Status move_root() {
  constexpr const char* kNewRoot = "/newroot";
  if (::mkdir(kNewRoot, 0700) != 0 && errno != EEXIST) return fail_errno(kNewRoot);
  if (::mount("/", kNewRoot, nullptr, MS_BIND, nullptr) != 0) return fail_errno("bind the root");
  if (::chdir(kNewRoot) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0 ||
      ::chdir("/") != 0)
    return fail_errno("move the root");
  return {};
}

Status prepare_system() {
  ::umask(022);
  for (const auto& mount : kMounts) {
    if (::mkdir(mount.target, 0755) != 0 && errno != EEXIST && errno != EPERM && errno != EROFS)
      return fail_errno(mount.target);
    if (::mount(mount.type, mount.target, mount.type, mount.flags, mount.options) != 0)
      return fail_errno(fmt::format("mount {}", mount.target));
  }
  TRY(take_console());
  for (const auto& setting : kSettings) apply(setting);
  return sandbox::set_hostname("cloister-enclave");
}

void end_machine() {
  ::sync();
  ::reboot(RB_AUTOBOOT);
  for (;;) ::pause();  // the machine is ending
}

}  // namespace cloister::boot
