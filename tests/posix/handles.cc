// The model's operations on open files.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "model.h"

namespace cloister::posix {

namespace {

constexpr std::size_t kMaxTransfer = 40'000;  // bytes per read or write
constexpr std::size_t kMaxMapping = 64 * 1024;

std::size_t index(int side) {
  return static_cast<std::size_t>(side);
}

ino_t number_of(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

bool is_zero(int fd, off_t from, off_t to) {
  std::string data(static_cast<std::size_t>(std::max<off_t>(to - from, 0)), 'x');
  ssize_t n = ::pread(fd, data.data(), data.size(), from);
  return n >= 0 && data.find_first_not_of('\0') >= static_cast<std::size_t>(n);
}

// Maps what there is of the file, changes or reads it, and waits until a change is written.
Outcome use_mapping(int fd, int protection, off_t page, std::size_t at, const std::string& data) {
  auto* memory = static_cast<char*>(::mmap(nullptr, kMaxMapping, protection, MAP_SHARED, fd, page));
  if (memory == MAP_FAILED) return result(-1);
  struct stat info{};
  Outcome out = result(::fstat(fd, &info));
  auto end = std::min<off_t>(info.st_size - page, kMaxMapping);
  if (end > static_cast<off_t>(at)) {
    auto size = std::min(data.size(), static_cast<std::size_t>(end) - at);
    if ((protection & PROT_WRITE) != 0) std::memcpy(memory + at, data.data(), size);
    out.seen = std::to_string(hash({memory, static_cast<std::size_t>(end)}));
    out.value = ::msync(memory, kMaxMapping, MS_SYNC);
  }
  ::munmap(memory, kMaxMapping);
  return out;
}

}  // namespace

void Model::read_at(bool positioned) {
  const auto* file = handle();
  if (file == nullptr) return;
  auto at = offset();
  auto size = random_.below(kMaxTransfer);
  auto what = (positioned ? "pread " + std::to_string(at) : std::string("read")) + " " + std::to_string(size);
  both(what, [&](Side side) {
    std::string data(size, '\0');
    int fd = file->fd[index(side)];
    auto out = result(positioned ? ::pread(fd, data.data(), size, at) : ::read(fd, data.data(), size));
    if (out.value > 0) out.seen = std::to_string(hash({data.data(), static_cast<std::size_t>(out.value)}));
    return out;
  });
}

void Model::write_at(bool positioned) {
  const auto* file = handle();
  if (file == nullptr) return;
  auto at = offset();
  auto data = random_.bytes(random_.below(kMaxTransfer));
  auto what = (positioned ? "pwrite " + std::to_string(at) : std::string("write")) + " " +
              std::to_string(data.size());
  // Files that are appended to, or written through a position, must not grow without end.
  if (::lseek(file->fd[1], 0, SEEK_CUR) > static_cast<off_t>(kMaxFile)) {
    both("lseek 0", [&](Side side) { return result(::lseek(file->fd[index(side)], 0, SEEK_SET)); });
  }
  struct stat info{};
  if (::fstat(file->fd[1], &info) == 0 && info.st_size > static_cast<off_t>(2 * kMaxFile)) {
    both("ftruncate 0", [&](Side side) { return result(::ftruncate(file->fd[index(side)], 0)); });
  }
  both(what, [&](Side side) {
    int fd = file->fd[index(side)];
    return result(positioned ? ::pwrite(fd, data.data(), data.size(), at)
                             : ::write(fd, data.data(), data.size()));
  });
}

void Model::seek() {
  static const std::vector<int> kinds{SEEK_SET, SEEK_CUR, SEEK_END};
  const auto* file = handle();
  // What a position in a directory means is the file system's own.
  struct stat info{};
  if (file == nullptr || ::fstat(file->fd[1], &info) != 0 || S_ISDIR(info.st_mode)) return;
  auto whence = random_.of(kinds);
  auto at = offset() - static_cast<off_t>(kMaxFile / 4);
  both("lseek " + std::to_string(at) + " " + std::to_string(whence),
       [&](Side side) { return result(::lseek(file->fd[index(side)], at, whence)); });
}

// Where holes are is the same on both sides, unless a mapping has filled some of the reference's. What is
// said to be a hole must read as zeros in any case.
void Model::seek_data() {
  const auto* file = handle();
  struct stat info{};
  if (file == nullptr || ::fstat(file->fd[1], &info) != 0 || S_ISDIR(info.st_mode)) return;
  auto whence = random_.once_in(2) ? SEEK_DATA : SEEK_HOLE;
  auto at = offset();
  bool exact = !mapped_.contains(info.st_ino);
  both("lseek " + std::to_string(at) + (whence == SEEK_DATA ? " data" : " hole"), [&](Side side) {
    int fd = file->fd[index(side)];
    auto out = result(::lseek(fd, at, whence));
    bool readable = (::fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) != O_WRONLY;
    if (out.value > at && whence == SEEK_DATA && readable && !is_zero(fd, at, out.value))
      out.seen = "no hole";
    if (exact || (out.value < 0 && out.error != ENXIO)) return out;
    ::lseek(fd, at, SEEK_SET);
    return Outcome{.seen = out.seen};
  });
}

void Model::truncate_handle() {
  const auto* file = handle();
  if (file == nullptr) return;
  auto size = offset();
  both("ftruncate " + std::to_string(size),
       [&](Side side) { return result(::ftruncate(file->fd[index(side)], size)); });
}

void Model::allocate() {
  static const std::vector<int> modes{0,
                                      FALLOC_FL_KEEP_SIZE,
                                      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      FALLOC_FL_PUNCH_HOLE,
                                      FALLOC_FL_COLLAPSE_RANGE};
  const auto* file = handle();
  if (file == nullptr) return;
  auto mode = random_.of(modes);
  auto at = offset();
  auto size = static_cast<off_t>(random_.below(kMaxFile / 2));
  both("fallocate " + std::to_string(mode) + " " + std::to_string(at) + " " + std::to_string(size),
       [&](Side side) { return result(::fallocate(file->fd[index(side)], mode, at, size)); });
}

void Model::copy_range() {
  const auto* from = handle();
  const auto* to = handle();
  if (from == nullptr) return;
  auto read_at = offset();
  auto write_at = offset();
  auto size = random_.below(kMaxTransfer);
  both("copy_file_range " + std::to_string(read_at) + " " + std::to_string(write_at) + " " +
           std::to_string(size),
       [&](Side side) {
         off_t in = read_at;
         off_t out = write_at;
         return result(::copy_file_range(from->fd[index(side)], &in, to->fd[index(side)], &out, size, 0));
       });
}

void Model::map() {
  const auto* file = handle();
  if (file == nullptr) return;
  auto protection = random_.once_in(2) ? PROT_READ : PROT_READ | PROT_WRITE;
  auto page = static_cast<off_t>(random_.below(kMaxFile / 4096) * 4096);
  auto at = random_.below(kMaxMapping);
  auto data = random_.bytes(random_.below(9000));
  mapped_.insert(number_of(file->fd[1]));
  both("mmap " + std::to_string(protection) + " " + std::to_string(page) + "+" + std::to_string(at),
       [&](Side side) { return use_mapping(file->fd[index(side)], protection, page, at, data); });
}

void Model::sync() {
  const auto* file = handle();
  if (file == nullptr) return;
  bool data = random_.once_in(2);
  both("fsync", [&](Side side) {
    return result(data ? ::fdatasync(file->fd[index(side)]) : ::fsync(file->fd[index(side)]));
  });
}

void Model::look_at_handle() {
  const auto* file = handle();
  if (file == nullptr) return;
  both("fstat", [&](Side side) {
    struct stat info{};
    auto out = result(::fstat(file->fd[index(side)], &info));
    out.seen = describe(info) + list_xattrs(file->fd[index(side)]);
    return out;
  });
}

void Model::list() {
  const auto* file = handle();
  if (file == nullptr) return;
  both("readdir", [&](Side side) { return Outcome{.seen = list_directory(file->fd[index(side)], tag_)}; });
}

}  // namespace cloister::posix
