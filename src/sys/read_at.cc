#include "sys/read_at.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cloister::sys {

Status read_at(int fd, std::uint64_t offset, MutableByteView buffer, std::string_view what) {
  while (!buffer.empty()) {
    ssize_t n = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(what);
    if (n == 0) return fail(ErrorKind::corrupt, "{}: the file ends too early", what);
    buffer = buffer.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<std::uint64_t> regular_size(int fd, std::string_view what) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(what);
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::invalid, "{} is not a regular file", what);
  return static_cast<std::uint64_t>(info.st_size);
}

// Not every file system has O_TMPFILE.
Result<Fd> nameless_file(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600));
  if (fd) return fd;
  auto name = directory + "/cloister-XXXXXX";
  fd = Fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return fail_errno(directory);
  if (::unlink(name.c_str()) != 0) return fail_errno(name);
  return fd;
}

}  // namespace cloister::sys
