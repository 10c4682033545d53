#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "image/tree.h"
#include "sys/file.h"

namespace cloister::image {

namespace {
constexpr std::size_t kCopyChunk = 256 * 1024;  // bytes
}  // namespace

Result<Spool> Spool::create(const std::string& directory) {
  sys::Fd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) {
    std::string name = directory + "/spool-XXXXXX";
    fd = sys::Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (fd) ::unlink(name.c_str());
  }
  if (!fd) return fail_errno(directory);
  return Spool(std::move(fd));
}

Status Spool::append(ByteView bytes) {
  if (bytes.size() > kMaxTreeBytes - end_)
    return fail(ErrorKind::exhausted, "more than {} GiB of files", kMaxTreeBytes >> 30);
  TRY(sys::write_all(fd_.get(), bytes, "temporary file"));
  end_ += bytes.size();
  return {};
}

Result<Extent> Spool::add(ByteView bytes) {
  Extent extent{end_, bytes.size()};
  TRY(append(bytes));
  return extent;
}

Result<Extent> Spool::add_file(int fd, std::string_view what) {
  Extent extent{end_, 0};
  Bytes chunk(kCopyChunk);
  while (true) {
    ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(what);
    if (n == 0) break;
    TRY(append(ByteView(chunk).first(static_cast<std::size_t>(n))));
  }
  extent.size = end_ - extent.offset;
  return extent;
}

Status Spool::read(std::uint64_t offset, MutableByteView out) const {
  while (!out.empty()) {
    ssize_t n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("temporary file");
    if (n == 0) return fail(ErrorKind::internal, "the temporary file is shorter than what was written");
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace cloister::image
