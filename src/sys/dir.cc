#include "sys/dir.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace cloister::sys {

Status check_component(std::string_view name) {
  if (name.empty() || name.size() > kMaxComponent) {
    return fail(ErrorKind::invalid, "a name of {} bytes (1 to {} allowed)", name.size(), kMaxComponent);
  }
  if (name == "." || name == "..") return fail(ErrorKind::invalid, "'{}' is not a name", name);
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) {
    return fail(ErrorKind::invalid, "a name with a slash or a NUL byte");
  }
  return {};
}

Result<std::vector<std::string>> split_relative(std::string_view path) {
  if (path.size() > kMaxPath) return fail(ErrorKind::invalid, "a path longer than {} bytes", kMaxPath);
  if (path.starts_with('/')) return fail(ErrorKind::invalid, "'{}' is an absolute path", path);
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= path.size();) {
    auto slash = std::min(path.find('/', at), path.size());
    auto name = path.substr(at, slash - at);
    TRY(check_component(name));
    out.emplace_back(name);
    at = slash + 1;
  }
  return out;
}

Result<Dir> Dir::open(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(path);
  return Dir(Fd(fd));
}

Result<Fd> Dir::open_at(std::string_view relative, int flags, mode_t mode) const {
  TRY(split_relative(relative));
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  std::string path(relative);
  for (;;) {
    long fd = ::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // EAGAIN: a rename raced with the walk; the kernel asks to try again.
    if (errno != EINTR && errno != EAGAIN) return fail_errno(path);
  }
}

Result<Dir> Dir::open_dir(std::string_view relative) const {
  return Dir(TRY(open_at(relative, O_RDONLY | O_DIRECTORY)));
}

Result<Fd> Dir::open_regular(std::string_view relative) const {
  auto fd = TRY(open_at(relative, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(relative);
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::invalid, "{} is not a regular file", relative);
  return fd;
}

Result<Dir> Dir::make_dir(std::string_view component, mode_t mode) const {
  TRY(check_component(component));
  std::string name(component);
  if (::mkdirat(fd_.get(), name.c_str(), mode) != 0 && errno != EEXIST) return fail_errno(name);
  return open_dir(name);
}

}  // namespace cloister::sys
