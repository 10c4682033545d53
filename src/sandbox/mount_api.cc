#include "sandbox/mount_api.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cloister::sandbox {

static_assert(kReadOnly == MOUNT_ATTR_RDONLY && kNoSuid == MOUNT_ATTR_NOSUID && kNoDev == MOUNT_ATTR_NODEV &&
              kNoExec == MOUNT_ATTR_NOEXEC);

namespace {

constexpr int kDetachLazily = 2;         // MNT_DETACH, which only <sys/mount.h> names
constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE

Status set_mount(int mount_fd, const mount_attr& attributes, bool recursive, std::string_view what) {
  unsigned flags = AT_EMPTY_PATH | (recursive ? kRecursive : 0U);
  if (::syscall(SYS_mount_setattr, mount_fd, "", flags, &attributes, sizeof attributes) != 0)
    return fail_errno(what);
  return {};
}

Status configure(int context, unsigned command, const char* key, const char* value, std::string_view what) {
  if (::syscall(SYS_fsconfig, context, command, key, value, 0) != 0) return fail_errno(what);
  return {};
}

}  // namespace

Result<sys::Fd> clone_mount(int directory_fd, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? kRecursive : 0U);
  if (path.empty()) flags |= AT_EMPTY_PATH;
  long fd = ::syscall(SYS_open_tree, directory_fd, path.c_str(), flags);
  if (fd < 0) return fail_errno("open_tree");
  return sys::Fd(static_cast<int>(fd));
}

Result<sys::Fd> new_filesystem(const char* type,
                               const std::vector<std::pair<std::string, std::string>>& options,
                               std::uint64_t attributes) {
  sys::Fd context(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)));
  if (!context) return fail_errno(fmt::format("fsopen {}", type));
  for (const auto& [key, value] : options) {
    auto what = fmt::format("{} option {}", type, key);
    TRY(configure(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), what));
  }
  TRY(configure(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, fmt::format("create a {}", type)));
  long fd = ::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes));
  if (fd < 0) return fail_errno(fmt::format("fsmount {}", type));
  return sys::Fd(static_cast<int>(fd));
}

Status reconfigure_filesystem(const std::string& path,
                              const std::vector<std::pair<std::string, std::string>>& options) {
  sys::Fd context(static_cast<int>(
      ::syscall(SYS_fspick, AT_FDCWD, path.c_str(), FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW)));
  if (!context) return fail_errno(fmt::format("fspick {}", path));
  for (const auto& [key, value] : options)
    TRY(configure(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), key));
  return configure(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, path);
}

Status set_attributes(int mount_fd, std::uint64_t set, std::uint64_t clear, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = MS_PRIVATE;
  return set_mount(mount_fd, attributes, recursive, "mount_setattr");
}

Status set_mount_ids(int mount_fd, int user_namespace_fd) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(user_namespace_fd);
  return set_mount(mount_fd, attributes, false, "mount_setattr with ids");
}

Status attach(int mount_fd, int target_fd) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  if (::syscall(SYS_move_mount, mount_fd, "", target_fd, "", flags) != 0) return fail_errno("move_mount");
  return {};
}

Status detach(const std::string& path) {
  if (::syscall(SYS_umount2, path.c_str(), kDetachLazily) != 0)
    return fail_errno(fmt::format("unmount {}", path));
  return {};
}

Status make_all_private() {
  if (::syscall(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno("make all mounts private");
  }
  return {};
}

Status pivot_here() {
  // Stacks the old root over the new one at ".", so that no directory has to be set aside for it
  // (pivot_root(2)).
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno("pivot_root");
  return detach(".");
}

}  // namespace cloister::sandbox
