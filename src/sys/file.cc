#include "sys/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cloister::sys {

namespace {

constexpr std::size_t kReadChunk = 64 * 1024;  // bytes

std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// linkat(2) replaces nothing, so a nameless file gets a name of its own first, beside the final one.
Result<std::string> give_name(int fd, const std::string& final_path) {
  auto self = "/proc/self/fd/" + std::to_string(fd);
  auto name = final_path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(fd);
  ::unlink(name.c_str());  // of an earlier process with this id
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return fail_errno(final_path);
  return name;
}

}  // namespace

Result<Bytes> read_all(int fd, std::size_t max_bytes, std::string_view what) {
  Bytes out;
  for (;;) {
    auto old_size = out.size();
    // One byte over the limit is enough to know that the file is too large.
    auto room = std::min(kReadChunk, max_bytes + 1 - old_size);
    out.resize(old_size + room);
    ssize_t n = ::read(fd, out.data() + old_size, room);
    if (n < 0 && errno == EINTR)
      n = 0;
    else if (n < 0)
      return fail_errno(what);
    else if (n == 0) {
      out.resize(old_size);
      return out;
    }
    out.resize(old_size + static_cast<std::size_t>(n));
    if (out.size() > max_bytes)
      return fail(ErrorKind::exhausted, "{} is larger than {} bytes", what, max_bytes);
  }
}

Result<Bytes> read_file(const std::string& path, std::size_t max_bytes) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail_errno(path);
  return read_all(fd.get(), max_bytes, path);
}

Status write_all(int fd, ByteView bytes, std::string_view what) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(what);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// A file without a name goes with its process, in whatever way that ends. Not every file system has them
// (NFS, FUSE), and naming one needs /proc.
Result<PendingFile> PendingFile::create(const std::string& final_path, mode_t mode) {
  std::string temporary;
  Fd fd(::open(parent_of(final_path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd || ::access("/proc/self/fd", X_OK) != 0) {
    temporary = final_path + ".tmp-XXXXXX";
    fd = Fd(::mkostemp(temporary.data(), O_CLOEXEC));
  }
  if (!fd) return fail_errno(final_path);
  PendingFile file(std::move(fd), std::move(temporary), final_path);
  if (::fchmod(file.descriptor(), mode) != 0) return fail_errno(final_path);
  return file;
}

PendingFile::~PendingFile() {
  if (fd_ && !temporary_.empty()) ::unlink(temporary_.c_str());
}

Status PendingFile::commit() {
  if (::fsync(fd_.get()) != 0) return fail_errno(final_);
  if (temporary_.empty()) temporary_ = TRY(give_name(fd_.get(), final_));
  if (::rename(temporary_.c_str(), final_.c_str()) != 0) return fail_errno(final_);
  fd_.reset();
  // The rename itself must survive a crash: sync the directory that holds it.
  Fd directory(::open(parent_of(final_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
  return {};
}

Status write_file_atomic(const std::string& path, ByteView bytes, mode_t mode) {
  auto file = TRY(PendingFile::create(path, mode));
  TRY(write_all(file.descriptor(), bytes, path));
  return file.commit();
}

Status make_directories(const std::string& path, mode_t mode) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at);
    auto part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return fail_errno(part);
    if (at != std::string::npos) ++at;
  }
  return {};
}

}  // namespace cloister::sys
