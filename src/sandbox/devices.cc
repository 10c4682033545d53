// The minimal /dev of a root.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sandbox/mount_api.h"
#include "sandbox/root_plan.h"

namespace cloister::sandbox {

namespace {

constexpr std::uint64_t kDevBytes = 64ULL << 10;
constexpr std::uint64_t kDevInodes = 64;

struct Device {
  const char* name;
  unsigned minor;  // major 1, the kernel's memory devices (Documentation/admin-guide/devices.txt)
};
constexpr unsigned kMemoryMajor = 1;
constexpr Device kDevices[] = {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};

const Symlink kLinks[] = {{"/fd", "/proc/self/fd"},
                          {"/stdin", "/proc/self/fd/0"},
                          {"/stdout", "/proc/self/fd/1"},
                          {"/stderr", "/proc/self/fd/2"}};

// The node itself is bound, because making one needs CAP_MKNOD in the first user namespace.
Status place_device(const sys::Dir& dev, const std::string& host_dev, const Device& device) {
  auto path = fmt::format("{}/{}", host_dev, device.name);
  auto node = TRY(clone_mount(AT_FDCWD, path, false).context(path));
  struct stat info{};
  if (::fstat(node.get(), &info) != 0) return fail_errno(path);
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(kMemoryMajor, device.minor)) {
    return fail(ErrorKind::invalid, "{} is not the device it is named for", path);
  }
  // Read-only concerns the node (mode, times), not what is written to the device.
  TRY(set_attributes(node.get(), kReadOnly | kNoSuid | kNoExec, kNoDev, false));
  auto place = TRY(mount_place(dev, device.name, false));
  return attach(node.get(), place.get());
}

}  // namespace

Status place_devices(const sys::Dir& root, const RootPlan& plan) {
  TmpfsOptions small{.size_bytes = kDevBytes, .inodes = kDevInodes};
  auto tmpfs = TRY(new_tmpfs(small, kNoSuid | kNoDev | kNoExec));
  auto place = TRY(mount_place(root, "dev", true));
  TRY(attach(tmpfs.get(), place.get()));
  sys::Dir dev = TRY(root.open_dir("dev"));
  for (const auto& device : kDevices) TRY(place_device(dev, plan.host_dev, device));
  for (const auto& link : kLinks) TRY(make_symlink(dev, link));
  if (plan.shm) {
    TRY(place_mount(dev, {.kind = Mount::Kind::tmpfs,
                          .target = "/shm",
                          .read_only = false,
                          .no_exec = true,
                          .tmpfs = *plan.shm}));
  }
  return set_attributes(tmpfs.get(), kReadOnly | kNoSuid | kNoDev | kNoExec, 0, false);
}

}  // namespace cloister::sandbox
