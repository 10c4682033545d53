// Mount: a FUSE mount of this machine and the device descriptor behind it. Owned by the process that pumps
// it. Not thread-safe, but unmount() may be called while another thread pumps.
#pragma once

#include <sys/types.h>

#include <string>

#include "sys/fd.h"

namespace cloister::share {

struct MountOptions {
  bool allow_other =
      false;  // other users of this machine may look inside (default_permissions still judges them)
  bool read_only = false;
};

class Mount {
 public:
  // Mounts over an existing directory: as root by mount(2), else through fusermount3. Always nosuid, nodev
  // and default_permissions. Until pump() runs, whoever looks inside waits.
  static Result<Mount> mount(const std::string& directory, const MountOptions& options = {});
  Mount(Mount&& other) noexcept;
  Mount& operator=(Mount&& other) noexcept = delete;
  // Unmounts.
  ~Mount();

  int descriptor() const { return fd_.get(); }
  const std::string& directory() const { return directory_; }

  // Takes the mount out of the tree at once, even while files are open, if it is still there and still ours.
  Status unmount();
  // Closes the device. Once every descriptor of it is closed the kernel fails what is outstanding and what
  // comes.
  void abort() { fd_.reset(); }

 private:
  Mount(sys::Fd fd, std::string directory, std::string device)
      : fd_(std::move(fd)), directory_(std::move(directory)), device_(std::move(device)) {}
  sys::Fd fd_;
  std::string directory_;  // absolute, no links
  std::string device_;     // "major:minor" as in /proc/self/mountinfo
};

// Takes away what is mounted at that path, even while it is used: what is open there fails from now on. Not
// root: through fusermount3, which does so for one's own mounts only.
Status detach_mount(const std::string& path);

// Takes away what a pump left that was killed: a mount of ours at that directory that answers "not
// connected". false: there is none.
Result<bool> remove_dead_mount(const std::string& directory);

}  // namespace cloister::share
