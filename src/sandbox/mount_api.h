// The system calls of mounting, typed. Own wrappers: glibc has some of them since 2.36 only, and
// <sys/mount.h> and <linux/mount.h> cannot be included together.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace cloister::sandbox {

// Attributes of a mount, MOUNT_ATTR_* of <linux/mount.h>.
inline constexpr std::uint64_t kReadOnly = 0x1;
inline constexpr std::uint64_t kNoSuid = 0x2;
inline constexpr std::uint64_t kNoDev = 0x4;
inline constexpr std::uint64_t kNoExec = 0x8;

// A detached copy of the mount at path, or at directory_fd if path is empty.
Result<sys::Fd> clone_mount(int directory_fd, const std::string& path, bool recursive);
// A detached new file system with options such as {"size", "65536"}; an option without a value is a flag.
Result<sys::Fd> new_filesystem(const char* type,
                               const std::vector<std::pair<std::string, std::string>>& options,
                               std::uint64_t attributes);
// Changes options of the file system that is mounted at path; the others stay.
Status reconfigure_filesystem(const std::string& path,
                              const std::vector<std::pair<std::string, std::string>>& options);
// Sets and clears attributes of a mount (recursive: and of those below), and makes it private.
Status set_attributes(int mount_fd, std::uint64_t set, std::uint64_t clear, bool recursive);
Status set_mount_ids(int mount_fd, int user_namespace_fd);
// Attaches a detached mount on top of what target_fd (O_PATH) refers to.
Status attach(int mount_fd, int target_fd);
Status detach(const std::string& path);  // lazily, with everything below
Status make_all_private();
Status pivot_here();  // pivot_root(".", "."), then detaches the old root

}  // namespace cloister::sandbox
