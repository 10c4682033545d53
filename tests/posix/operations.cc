// The model's operations on names.
#include <fcntl.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "model.h"

namespace cloister::posix {

namespace {

constexpr std::size_t kMaxValue = 300;    // bytes of an extended attribute
constexpr time_t kTimes = 1'600'000'000;  // utimensat(2) sets times before this one, in 2020
constexpr mode_t kModes = 01777;          // a folder has no setuid and no setgid

std::string hex(std::uint64_t value) {
  char out[32];
  std::snprintf(out, sizeof out, "%#lx", static_cast<unsigned long>(value));
  return out;
}

// Calls that take no directory descriptor go through the one of the tree's root.
std::string full(int root, const std::string& path) {
  return "/proc/self/fd/" + std::to_string(root) + "/" + path;
}

std::size_t index(int side) {
  return static_cast<std::size_t>(side);
}

}  // namespace

void Model::open_file() {
  static const std::vector<int> access{O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR};
  static const std::vector<int> more{O_APPEND, O_TRUNC,    O_EXCL,    O_NOFOLLOW, O_DIRECTORY, O_PATH,
                                     O_SYNC,   O_NONBLOCK, O_NOATIME, O_DIRECT,   O_CREAT};
  int flags = random_.of(access) | O_CLOEXEC;
  if (!random_.once_in(3)) flags |= O_CREAT;
  for (auto count = random_.below(3); count > 0; --count) flags |= random_.of(more);
  // O_EXCL alone is without meaning (POSIX); O_PATH hides what the other flags would do.
  if ((flags & O_CREAT) == 0) flags &= ~O_EXCL;
  auto mode = static_cast<mode_t>(random_.below(01000));
  auto where = path();
  keep("open " + where + " " + hex(static_cast<unsigned>(flags)),
       [&](Side side) { return ::openat(roots_[index(side)], where.c_str(), flags, mode); });
}

void Model::open_directory() {
  auto where = random_.once_in(3) ? "p" + std::to_string(worker_) : path();
  keep("opendir " + where, [&](Side side) {
    return ::openat(roots_[index(side)], where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
}

void Model::open_temporary() {
  auto where = random_.once_in(3) ? path() : "p" + std::to_string(worker_);
  int flags = O_TMPFILE | O_RDWR | O_CLOEXEC | (random_.once_in(4) ? O_EXCL : 0);
  keep("tmpfile " + where,
       [&](Side side) { return ::openat(roots_[index(side)], where.c_str(), flags, 0640); });
}

void Model::make_directory() {
  auto where = path();
  auto mode = static_cast<mode_t>(random_.below(kModes + 1));
  both("mkdir " + where,
       [&](Side side) { return result(::mkdirat(roots_[index(side)], where.c_str(), mode)); });
}

void Model::remove() {
  auto where = path();
  both("unlink " + where,
       [&](Side side) { return result(::unlinkat(roots_[index(side)], where.c_str(), 0)); });
}

void Model::remove_directory() {
  auto where = path() + (random_.once_in(10) ? "/." : "");
  both("rmdir " + where,
       [&](Side side) { return result(::unlinkat(roots_[index(side)], where.c_str(), AT_REMOVEDIR)); });
}

void Model::rename() {
  static const std::vector<unsigned> kinds{
      0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE | RENAME_NOREPLACE};
  auto from = path();
  auto to = path();
  auto flags = random_.of(kinds);
  both("rename " + from + " " + to + " " + hex(flags), [&](Side side) {
    return result(::renameat2(roots_[index(side)], from.c_str(), roots_[index(side)], to.c_str(), flags));
  });
}

void Model::link() {
  auto from = path();
  auto to = path();
  int flags = random_.once_in(2) ? AT_SYMLINK_FOLLOW : 0;
  both("link " + from + " " + to + " " + hex(static_cast<unsigned>(flags)), [&](Side side) {
    return result(::linkat(roots_[index(side)], from.c_str(), roots_[index(side)], to.c_str(), flags));
  });
}

void Model::link_handle() {
  const auto* from = handle();
  if (from == nullptr) return;
  auto to = path();
  both("link a descriptor to " + to, [&](Side side) {
    auto fd = "/proc/self/fd/" + std::to_string(from->fd[index(side)]);
    return result(::linkat(AT_FDCWD, fd.c_str(), roots_[index(side)], to.c_str(), AT_SYMLINK_FOLLOW));
  });
}

// Targets stay among the process's own names: through another's link two processes would meet.
void Model::symlink() {
  auto target = name();
  if (random_.once_in(4)) target += "/" + name();
  if (random_.once_in(6)) target += "/../" + name();
  auto where = path();
  both("symlink " + target + " " + where,
       [&](Side side) { return result(::symlinkat(target.c_str(), roots_[index(side)], where.c_str())); });
}

void Model::read_link() {
  auto where = path();
  both("readlink " + where, [&](Side side) {
    char target[1024];
    auto out = result(::readlinkat(roots_[index(side)], where.c_str(), target, sizeof target));
    if (out.value > 0) out.seen.assign(target, static_cast<std::size_t>(out.value));
    return out;
  });
}

void Model::change_mode() {
  auto where = path();
  auto mode = static_cast<mode_t>(random_.below(kModes + 1)) & kModes;
  both("chmod " + where + " " + hex(mode),
       [&](Side side) { return result(::fchmodat(roots_[index(side)], where.c_str(), mode, 0)); });
}

void Model::truncate_path() {
  auto where = path();
  auto size = random_.once_in(50) ? -1 : offset();
  both("truncate " + where + " " + std::to_string(size),
       [&](Side side) { return result(::truncate(full(roots_[index(side)], where).c_str(), size)); });
}

void Model::set_times() {
  auto where = path();
  timespec times[2];
  for (auto& each : times) {
    auto kind = random_.below(5);
    each.tv_sec = static_cast<time_t>(random_.below(kTimes));
    each.tv_nsec = kind == 0   ? UTIME_OMIT
                   : kind == 1 ? UTIME_NOW
                               : static_cast<long>(random_.below(1'000'000'000));
  }
  if (random_.once_in(40)) times[1].tv_nsec = 1'000'000'000;  // EINVAL
  int flags = random_.once_in(2) ? AT_SYMLINK_NOFOLLOW : 0;
  both("utimens " + where, [&](Side side) {
    auto out = result(::utimensat(roots_[index(side)], where.c_str(), times, flags));
    struct stat info{};
    if (out.value < 0 || ::fstatat(roots_[index(side)], where.c_str(), &info, flags) != 0) return out;
    bool set = times[0].tv_nsec != UTIME_OMIT && times[0].tv_nsec != UTIME_NOW;
    if (set)
      out.seen = std::to_string(info.st_atim.tv_sec) + "." + std::to_string(info.st_atim.tv_nsec) + " ";
    out.seen += describe(info);
    return out;
  });
}

void Model::look() {
  auto where = path();
  int flags = random_.once_in(2) ? AT_SYMLINK_NOFOLLOW : 0;
  both("stat " + where, [&](Side side) {
    struct stat info{};
    auto out = result(::fstatat(roots_[index(side)], where.c_str(), &info, flags));
    if (out.value == 0) out.seen = describe(info);
    return out;
  });
}

void Model::set_xattr() {
  static const std::vector<int> kinds{0, 0, XATTR_CREATE, XATTR_REPLACE};
  static const std::vector<std::string> keys{"user.a", "user.b",
                                             "user.gr\xc3\xb6\xc3\x9f"
                                             "e"};
  auto where = path();
  auto key = random_.of(keys);
  auto value = random_.bytes(random_.below(kMaxValue));
  auto flags = random_.of(kinds);
  both("setxattr " + where + " " + key + " " + hex(static_cast<unsigned>(flags)), [&](Side side) {
    auto at = full(roots_[index(side)], where);
    return result(::lsetxattr(at.c_str(), key.c_str(), value.data(), value.size(), flags));
  });
}

void Model::get_xattr() {
  auto where = path();
  auto room = random_.below(kMaxValue);
  both("getxattr " + where + " " + std::to_string(room), [&](Side side) {
    std::string value(room, '\0');
    auto at = full(roots_[index(side)], where);
    auto out = result(::lgetxattr(at.c_str(), "user.a", value.data(), room));
    if (out.value > 0 && room > 0) out.seen = hex(hash(value.substr(0, static_cast<std::size_t>(out.value))));
    return out;
  });
}

void Model::remove_xattr() {
  auto where = path();
  both("removexattr " + where,
       [&](Side side) { return result(::lremovexattr(full(roots_[index(side)], where).c_str(), "user.a")); });
}

void Model::file_system() {
  auto where = path();
  both("statfs " + where, [&](Side side) {
    struct statfs info{};
    auto out = result(::statfs(full(roots_[index(side)], where).c_str(), &info));
    out.seen = std::to_string(info.f_namelen) + " " + std::to_string(info.f_bsize);
    return out;
  });
}

}  // namespace cloister::posix
