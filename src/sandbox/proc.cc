#include "sandbox/proc.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "sandbox/mount_api.h"
#include "sys/dir.h"

namespace cloister::sandbox {

namespace {

constexpr std::uint64_t kProcAttributes = kReadOnly | kNoSuid | kNoDev | kNoExec;

// What tells of the kernel or changes it, in a /proc that shows more than processes.
constexpr const char* kMasked[] = {
    "sys",        "sysrq-trigger", "kcore",         "kmsg",        "keys",      "key-users",  "timer_list",
    "kallsyms",   "modules",       "mounts",        "irq",         "bus",       "fs",         "acpi",
    "scsi",       "vmallocinfo",   "iomem",         "ioports",     "config.gz", "interrupts", "kpagecount",
    "kpageflags", "kpagecgroup",   "latency_stats", "sched_debug", "driver",    "tty",        "partitions",
    "diskstats",  "slabinfo",      "pressure",      "net"};

Status attach_at(int mount_fd, const std::string& path) {
  sys::Fd place(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return fail_errno(path);
  return attach(mount_fd, place.get()).context(path);
}

// Covers a directory by an empty read-only tmpfs, a file by /dev/null; links (net, mounts) lead to the own
// process.
Status mask(const sys::Dir& proc, const char* name) {
  auto place = proc.open_at(name, O_PATH | O_NOFOLLOW);
  if (!place) return {};  // not in this kernel, or a symlink
  struct stat info{};
  if (::fstat(place->get(), &info) != 0) return fail_errno(name);
  auto cover = S_ISDIR(info.st_mode)
                   ? TRY(new_filesystem("tmpfs", {{"size", "4096"}, {"mode", "555"}}, kProcAttributes))
                   : TRY(clone_mount(AT_FDCWD, "/dev/null", false));
  TRY(set_attributes(cover.get(), kReadOnly | kNoSuid | kNoExec, 0, false));
  return attach(cover.get(), place->get()).context(name);
}

}  // namespace

Status mask_proc(const std::string& path) {
  auto proc = TRY(sys::Dir::open(path));
  for (const char* name : kMasked) TRY(mask(proc, name).context("mask /proc"));
  return {};
}

Result<std::string> mount_proc(const std::string& path) {
  auto strict = new_filesystem("proc", {{"hidepid", "invisible"}, {"subset", "pid"}}, kProcAttributes);
  if (strict) {
    TRY(attach_at(strict->get(), path));
    return "hidepid=invisible subset=pid";
  }
  auto plain = TRY(new_filesystem("proc", {{"hidepid", "2"}}, kProcAttributes));
  TRY(attach_at(plain.get(), path));
  TRY(mask_proc(path));
  return "hidepid=2, kernel files covered";
}

}  // namespace cloister::sandbox
