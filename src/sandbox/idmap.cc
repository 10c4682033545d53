#include "sandbox/idmap.h"

#include "sandbox/mount_api.h"
#include "sandbox/user_namespace.h"

namespace cloister::sandbox {

Status map_mount_ids(int mount_fd, const std::vector<IdPair>& pairs) {
  // The file system's ids are taken as ids inside the namespace, and the mount shows what they are outside.
  std::vector<IdRange> ranges;
  for (const auto& pair : pairs) ranges.push_back({.inside = pair.stored, .outside = pair.shown, .count = 1});
  auto names = TRY(make_user_namespace(ranges));
  auto mapped = set_mount_ids(mount_fd, names.get());
  // EINVAL and ENOSYS: the file system or the kernel does not take part.
  if (!mapped && mapped.error().kind() == ErrorKind::system) {
    return fail(ErrorKind::unavailable, "no idmapped mounts here: {}", mapped.error().message());
  }
  return mapped;
}

Status idmapped_tmpfs_supported() {
  auto tmpfs = TRY(new_filesystem("tmpfs", {{"size", "4096"}}, kNoSuid | kNoDev | kNoExec));
  return map_mount_ids(tmpfs.get(), {{.stored = 1, .shown = 2}});
}

}  // namespace cloister::sandbox
