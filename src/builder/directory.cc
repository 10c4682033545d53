#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "builder/layer.h"
#include "builder/sources.h"

namespace cloister::builder {

namespace {

constexpr int kMaxDepth = 256;  // folders in folders

struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<unsigned> mode;  // of files
};

class Copier {
 public:
  Copier(const Owner& owner, image::FileTree& tree, image::Spool& spool)
      : owner_(owner), tree_(tree), spool_(spool) {}

  // What `name` of the folder `at` is, to `path` in the tree.
  Status copy(int at, const std::string& name, const std::string& path, int depth);
  Status copy_contents(int folder, const std::string& path, int depth);

 private:
  Status copy_file(int at, const std::string& name, const std::string& path);
  Status copy_link(int at, const std::string& name, const std::string& path);
  Status put(const std::string& path, image::Node node) {
    node.uid = owner_.uid;
    node.gid = owner_.gid;
    return tree_.put(path, std::move(node));
  }
  Owner owner_;
  image::FileTree& tree_;
  image::Spool& spool_;
};

Result<std::vector<std::string>> names_in(int folder, const std::string& path) {
  int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return fail_errno(path);
  std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy), ::closedir);
  if (!listing) {
    ::close(copy);
    return fail_errno(path);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) {
    std::string name(entry->d_name);
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status Copier::copy_contents(int folder, const std::string& path, int depth) {
  if (depth > kMaxDepth)
    return fail(ErrorKind::invalid, "{}: folders in more than {} folders", path, kMaxDepth);
  for (const auto& name : TRY(names_in(folder, path)))
    TRY(copy(folder, name, path.empty() ? name : fmt::format("{}/{}", path, name), depth));
  return {};
}

Status Copier::copy(int at, const std::string& name, const std::string& path, int depth) {
  if (is_mount_point_content(path)) return {};
  struct stat about{};
  if (::fstatat(at, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(path);
  if (S_ISREG(about.st_mode)) return copy_file(at, name, path);
  if (S_ISLNK(about.st_mode)) return copy_link(at, name, path);
  if (!S_ISDIR(about.st_mode))
    return fail(ErrorKind::invalid, "/{} is neither file, directory nor link", path);
  // A folder upon a link (/lib of Debian) goes where the link leads, and the link stays.
  const image::Node* there = tree_.find(TRY(tree_.resolve(path)));
  if (there == nullptr || !there->is_link()) TRY(put(path, image::directory_node()));
  sys::Fd folder(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return fail_errno(path);
  return copy_contents(folder.get(), path, depth + 1);
}

Status Copier::copy_file(int at, const std::string& name, const std::string& path) {
  sys::Fd fd(::openat(at, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat about{};
  if (!fd || ::fstat(fd.get(), &about) != 0) return fail_errno(path);
  if (!S_ISREG(about.st_mode)) return fail(ErrorKind::invalid, "/{} changes while it is read", path);
  image::Node node;
  auto usual = (about.st_mode & S_IXUSR) != 0 ? 0755U : 0644U;
  node.mode = S_IFREG | owner_.mode.value_or(usual);
  node.content = TRY(spool_.add_file(fd.get(), path));
  return put(path, std::move(node));
}

Status Copier::copy_link(int at, const std::string& name, const std::string& path) {
  std::array<char, image::kMaxTreePath + 2> target{};
  ssize_t n = ::readlinkat(at, name.c_str(), target.data(), target.size());
  if (n <= 0) return fail_errno(path);
  if (static_cast<std::size_t>(n) > image::kMaxTreePath)
    return fail(ErrorKind::invalid, "/{} is a link to a name that is too long", path);
  return put(path, image::link_node(std::string(target.data(), static_cast<std::size_t>(n))));
}

}  // namespace

Status apply_directory(const std::string& path, image::FileTree& tree, image::Spool& spool) {
  sys::Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail_errno(path);
  return Copier({}, tree, spool).copy_contents(folder.get(), "", 0).context(path);
}

Status apply_file(const CopiedFile& file, image::FileTree& tree, image::Spool& spool) {
  Copier copier({file.uid, file.gid, file.mode}, tree, spool);
  auto context = fmt::format("{} to /{}", file.from, file.to);
  if (is_mount_point_content(file.to))
    return fail(ErrorKind::invalid, "{}: the enclave mounts a file system of its own there", context);
  return copier.copy(AT_FDCWD, file.from, file.to, 0).context(context);
}

}  // namespace cloister::builder
