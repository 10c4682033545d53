#include "sandbox/root_plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/mount_api.h"
#include "sys/file.h"

namespace cloister::sandbox {

namespace {

constexpr std::uint64_t kMinInodes = 128;  // of a tmpfs
constexpr mode_t kDirectoryMode = 0755;    // of directories that a plan implies

Status set_mode(int fd, mode_t mode, std::string_view what) {
  if (::fchmod(fd, mode) != 0) return fail_errno(what);
  return {};
}

Result<sys::Dir> open_or_make(const sys::Dir& parent, const std::string& name) {
  auto found = parent.open_dir(name);
  if (found || found.error().kind() != ErrorKind::not_found) return found;
  auto made = TRY(parent.make_dir(name, kDirectoryMode));
  TRY(set_mode(made.descriptor(), kDirectoryMode, name));  // whatever the umask
  return made;
}

Result<sys::Fd> bind_source(const Mount& mount) {
  bool recursive = mount.recursive && mount.ids.empty();
  if (mount.source_fd < 0) return clone_mount(AT_FDCWD, mount.source, recursive).context(mount.source);
  auto copy = clone_mount(mount.source_fd, "", recursive);
  // Before Linux 6.15 a detached mount cannot be copied (EINVAL), but it can be attached itself.
  if (copy || copy.error().kind() != ErrorKind::system) return copy;
  sys::Fd same(::fcntl(mount.source_fd, F_DUPFD_CLOEXEC, 0));
  if (!same) return fail_errno("duplicate a mount's descriptor");
  return same;
}

std::uint64_t attributes_of(const Mount& mount) {
  return kNoSuid | kNoDev | (mount.read_only ? kReadOnly : 0) | (mount.no_exec ? kNoExec : 0);
}

Result<sys::Fd> prepare(const Mount& mount) {
  if (mount.kind == Mount::Kind::tmpfs) return new_tmpfs(mount.tmpfs, attributes_of(mount));
  auto tree = TRY(bind_source(mount));
  if (!mount.ids.empty()) TRY(map_mount_ids(tree.get(), mount.ids));
  TRY(set_attributes(tree.get(), attributes_of(mount), 0, mount.recursive && mount.ids.empty()));
  return tree;
}

Result<bool> is_directory(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno("stat a mount");
  return S_ISDIR(info.st_mode);
}

}  // namespace

Result<std::string> relative_target(const std::string& target) {
  if (!target.starts_with('/')) return fail(ErrorKind::invalid, "'{}' is not an absolute path", target);
  auto relative = target.substr(1);
  TRY(sys::split_relative(relative).context(target));
  return relative;
}

Status make_parents(const sys::Dir& root, const std::string& relative) {
  auto names = TRY(sys::split_relative(relative));
  names.pop_back();
  sys::Dir at;
  for (const auto& name : names) at = TRY(open_or_make(at ? at : root, name));
  return {};
}

Result<sys::Fd> mount_place(const sys::Dir& root, const std::string& relative, bool directory) {
  TRY(make_parents(root, relative));
  auto found = root.open_at(relative, O_PATH | (directory ? O_DIRECTORY : 0));
  if (found || found.error().kind() != ErrorKind::not_found) return found;
  if (directory) {
    auto slash = relative.rfind('/');
    auto parent = slash == std::string::npos ? sys::Dir() : TRY(root.open_dir(relative.substr(0, slash)));
    TRY(open_or_make(parent ? parent : root,
                     slash == std::string::npos ? relative : relative.substr(slash + 1)));
  } else {
    TRY(root.open_at(relative, O_WRONLY | O_CREAT | O_EXCL, 0444));
  }
  return root.open_at(relative, O_PATH | (directory ? O_DIRECTORY : 0));
}

Status make_symlink(const sys::Dir& root, const Symlink& link) {
  auto relative = TRY(relative_target(link.path));
  TRY(make_parents(root, relative));
  // The last component is created, never followed; those before it were just checked to be directories.
  if (::symlinkat(link.points.c_str(), root.descriptor(), relative.c_str()) != 0)
    return fail_errno(link.path);
  return {};
}

Status make_text_file(const sys::Dir& root, const TextFile& file) {
  auto relative = TRY(relative_target(file.path));
  TRY(make_parents(root, relative));
  auto fd = TRY(root.open_at(relative, O_WRONLY | O_CREAT | O_EXCL, file.mode));
  TRY(sys::write_all(fd.get(), as_bytes(file.content), file.path));
  return set_mode(fd.get(), file.mode, file.path);
}

Status place_mount(const sys::Dir& root, const Mount& mount) {
  auto relative = TRY(relative_target(mount.target));
  auto tree = TRY(prepare(mount));
  bool directory = TRY(is_directory(tree.get()));
  auto place = TRY(mount_place(root, relative, directory));
  return attach(tree.get(), place.get());
}

Result<sys::Fd> new_tmpfs(const TmpfsOptions& options, std::uint64_t attributes) {
  if (options.size_bytes == 0) return fail(ErrorKind::invalid, "a tmpfs without a size");
  auto inodes = options.inodes != 0 ? options.inodes : std::max(options.size_bytes / kInodeBytes, kMinInodes);
  return new_filesystem("tmpfs",
                        {{"size", fmt::format("{}", options.size_bytes)},
                         {"nr_inodes", fmt::format("{}", inodes)},
                         {"mode", fmt::format("{:o}", options.mode)},
                         {"uid", fmt::format("{}", options.uid)},
                         {"gid", fmt::format("{}", options.gid)}},
                        attributes);
}

}  // namespace cloister::sandbox
