#include "sandbox/root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/mount_api.h"
#include "sandbox/root_plan.h"

namespace cloister::sandbox {

namespace {

constexpr std::uint64_t kRootAttributes = kNoSuid | kNoDev | kNoExec;

Result<sys::Fd> open_place(const std::string& path) {
  sys::Fd place(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return fail_errno(path);
  return place;
}

Status fill(const sys::Dir& root, const RootPlan& plan) {
  for (const auto& link : plan.symlinks) TRY(make_symlink(root, link).context("symlink"));
  for (const auto& file : plan.files) TRY(make_text_file(root, file).context("file"));
  for (const auto& mount : plan.mounts)
    TRY(place_mount(root, mount).context(fmt::format("mount {}", mount.target)));
  if (plan.devices) TRY(place_devices(root, plan).context("mount /dev"));
  if (plan.proc) TRY(mount_place(root, "proc", true).context("/proc"));
  return {};
}

}  // namespace

Result<Root> assemble_root(const RootPlan& plan, const std::string& mount_point) {
  if (plan.mounts.size() > kMaxMounts) return fail(ErrorKind::invalid, "more than {} mounts", kMaxMounts);
  TmpfsOptions own{.size_bytes = kRootBytes, .inodes = kRootInodes};
  auto tmpfs = TRY(new_tmpfs(own, kRootAttributes));
  auto place = TRY(open_place(mount_point));
  TRY(attach(tmpfs.get(), place.get()).context(mount_point));
  Root root{mount_point};
  sys::Dir top(std::move(tmpfs));
  auto filled = fill(top, plan).context("assemble a root");
  if (filled) filled = set_attributes(top.descriptor(), kRootAttributes | kReadOnly, 0, false);
  if (filled) return root;
  TRY(discard_root(root));
  return std::unexpected(std::move(filled).error());
}

Status enter_root(const Root& root) {
  // By path: a descriptor of the assembler's namespace would not be of ours. And as a copy of the mount on
  // itself: in a mount namespace that a user namespace owns, inherited mounts are locked in place
  // (mount_namespaces(7)).
  auto copy = TRY(clone_mount(AT_FDCWD, root.mount_point, true).context("enter the root"));
  TRY(attach_mount(copy.get(), root.mount_point).context("enter the root"));
  if (::chdir(root.mount_point.c_str()) != 0) return fail_errno(root.mount_point);
  TRY(pivot_here().context("enter the root"));
  if (::chdir("/") != 0) return fail_errno("enter the root");
  return {};
}

Status discard_root(const Root& root) {
  return detach(root.mount_point);
}

Result<sys::Fd> make_tmpfs(const TmpfsOptions& options, bool no_exec) {
  return new_tmpfs(options, kNoSuid | kNoDev | (no_exec ? kNoExec : 0));
}

Status limit_tmpfs(const std::string& path, std::uint64_t size_bytes, std::uint64_t inodes) {
  return reconfigure_filesystem(
      path, {{"size", std::to_string(size_bytes)}, {"nr_inodes", std::to_string(inodes)}});
}

Status attach_mount(int mount_fd, const std::string& path) {
  auto place = TRY(open_place(path));
  return attach(mount_fd, place.get()).context(path);
}

}  // namespace cloister::sandbox
