// Whole files, bounded and atomic.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/bytes.h"
#include "sys/fd.h"

namespace cloister::sys {

// The whole file; exhausted if it is larger than max_bytes.
Result<Bytes> read_file(const std::string& path, std::size_t max_bytes);
Result<Bytes> read_all(int fd, std::size_t max_bytes, std::string_view what);

// Writes a temporary file beside `path`, syncs it, renames it over `path`: readers see the old bytes or the
// new, never a part.
Status write_file_atomic(const std::string& path, ByteView bytes, mode_t mode = 0644);

// A file under construction: a temporary name beside its final one, which appears only with commit(). Dropped
// otherwise.
class PendingFile {
 public:
  static Result<PendingFile> create(const std::string& final_path, mode_t mode = 0644);
  PendingFile(PendingFile&& other) noexcept = default;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();

  int descriptor() const { return fd_.get(); }
  Status commit();

 private:
  PendingFile(Fd fd, std::string temporary, std::string final_path)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), final_(std::move(final_path)) {}
  Fd fd_;
  std::string temporary_;
  std::string final_;
};

Status write_all(int fd, ByteView bytes, std::string_view what);

// mkdir -p.
Status make_directories(const std::string& path, mode_t mode = 0755);

}  // namespace cloister::sys
