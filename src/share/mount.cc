#include "share/mount.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "sys/file.h"
#include "sys/message_socket.h"
#include "sys/process.h"

namespace cloister::share {

namespace {

constexpr const char* kType = "fuse.cloister";
constexpr const char* kDevice = "/dev/fuse";
constexpr std::size_t kMaxComplaint = 512;          // bytes of fusermount3's stderr that are kept
constexpr std::chrono::seconds kHelperTimeout{20};  // for fusermount3 to do its work

Result<std::string> real_directory(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path.c_str(), nullptr), ::free);
  if (resolved == nullptr) return fail_errno(path);
  struct stat info{};
  if (::stat(resolved.get(), &info) != 0) return fail_errno(path);
  if (!S_ISDIR(info.st_mode)) return fail(ErrorKind::invalid, "{} is not a directory", path);
  return std::string(resolved.get());
}

Result<sys::Fd> mount_as_root(const std::string& directory, const MountOptions& options) {
  sys::Fd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!fd) return fail_errno(kDevice);
  auto data = fmt::format("fd={},rootmode={:o},user_id={},group_id={},default_permissions{}", fd.get(),
                          S_IFDIR, ::getuid(), ::getgid(), options.allow_other ? ",allow_other" : "");
  unsigned long flags = MS_NOSUID | MS_NODEV | (options.read_only ? MS_RDONLY : 0);
  if (::mount("cloister", directory.c_str(), kType, flags, data.c_str()) != 0) return fail_errno("mount");
  return fd;
}

// Runs fusermount3, which is setuid root, with nothing of our environment. `channel`: its end of a socket, or
// -1.
Status run_fusermount(std::vector<std::string> arguments, int channel) {
  arguments.insert(arguments.begin(), "fusermount3");
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  auto channel_name = fmt::format("_FUSE_COMMFD={}", channel);
  char path[] = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
  std::array<char*, 3> environment{path, channel >= 0 ? channel_name.data() : nullptr, nullptr};
  auto complaint = TRY(sys::make_pipe());
  auto child = TRY(sys::fork_child([&] {
    if (channel >= 0) ::fcntl(channel, F_SETFD, 0);
    ::dup2(complaint.write.get(), STDERR_FILENO);
    ::execvpe("fusermount3", argv.data(), environment.data());
    return 127;
  }));
  complaint.write.reset();
  auto status = TRY(child.wait(sys::Deadline::after(kHelperTimeout)).context("fusermount3"));
  if (!status.signalled && status.code == 0) return {};
  if (!status.signalled && status.code == 127) {
    return std::unexpected(
        Error(ErrorKind::not_found, "fusermount3 cannot be run").with_hint("install the package fuse3"));
  }
  std::array<char, kMaxComplaint> text;
  auto n = ::read(complaint.read.get(), text.data(), text.size());
  std::string_view said(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  said = said.substr(0, said.find('\n'));
  Error error(ErrorKind::system, said.empty() ? "fusermount3 failed" : escape_controls(said));
  if (said.find("/etc/mtab") != std::string_view::npos)
    error = std::move(error).with_hint("as root: ln -s /proc/self/mounts /etc/mtab");
  return std::unexpected(std::move(error));
}

// fusermount3 sends one byte with the descriptor beside it.
Result<sys::Fd> receive_device(sys::Fd channel) {
  sys::MessageSocket socket(std::move(channel));
  std::uint8_t byte = 0;
  auto fds = TRY(socket.receive(byte, 1, sys::Deadline::after(kHelperTimeout)).context("fusermount3"));
  if (fds.empty()) return fail(ErrorKind::system, "fusermount3 sent no descriptor");
  return std::move(fds.front());
}

Result<sys::Fd> mount_as_user(const std::string& directory, const MountOptions& options) {
  auto channel = TRY(sys::make_socket_pair(SOCK_STREAM));
  std::string wanted = "nosuid,nodev,default_permissions,fsname=cloister,subtype=cloister";
  if (options.allow_other) wanted += ",allow_other";
  if (options.read_only) wanted += ",ro";
  TRY(run_fusermount({"-o", wanted, "--", directory}, channel.second.get()));
  channel.second.reset();
  return receive_device(std::move(channel.first));
}

// /proc/self/mountinfo writes space, tab, newline and backslash as \ and three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    bool escaped = text[at] == '\\' && at + 3 < text.size();
    if (!escaped) {
      out.push_back(text[at]);
      continue;
    }
    out.push_back(
        static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0')));
    at += 3;
  }
  return out;
}

// The "major:minor" of the topmost mount at that directory, if it is ours by type. The table is asked rather
// than the directory: stat(2) there would wait for a pump that may not run.
std::optional<std::string> mounted_device(const std::string& directory) {
  std::optional<std::string> found;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, word;
    fields >> id >> parent >> device >> root >> point;
    if (unescape(point) != directory) continue;
    while (fields >> word && word != "-") {
    }
    fields >> word;
    found = word == kType ? std::optional(device) : std::nullopt;
  }
  return found;
}

Status make_nonblocking(const sys::Fd& fd) {
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno(kDevice);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return {};
}

}  // namespace

Result<Mount> Mount::mount(const std::string& directory, const MountOptions& options) {
  auto resolved = TRY(real_directory(directory));
  auto what = fmt::format("mount the shared folder at {}", directory);
  auto fd = TRY(
      (::geteuid() == 0 ? mount_as_root(resolved, options) : mount_as_user(resolved, options)).context(what));
  TRY(make_nonblocking(fd));
  auto device = mounted_device(resolved);
  if (!device) return fail(ErrorKind::system, "{}: it vanished at once", what);
  return Mount(std::move(fd), std::move(resolved), std::move(*device));
}

Mount::Mount(Mount&& other) noexcept
    : fd_(std::move(other.fd_)),
      directory_(std::exchange(other.directory_, {})),
      device_(std::exchange(other.device_, {})) {}

Mount::~Mount() {
  if (directory_.empty()) return;
  abort();
  // Nobody is left to tell: a mount that cannot be removed fails every call with ENOTCONN.
  static_cast<void>(unmount().has_value());
}

Status Mount::unmount() {
  if (mounted_device(directory_) != device_) return {};
  return detach_mount(directory_);
}

Status detach_mount(const std::string& path) {
  if (::geteuid() != 0) return run_fusermount({"-u", "-z", "--", path}, -1);
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return fail_errno("unmount " + path);
  return {};
}

Result<bool> remove_dead_mount(const std::string& directory) {
  // The directory itself cannot be resolved, but what is above it can.
  auto path = std::filesystem::absolute(directory).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  auto slash = path.rfind('/');
  auto above = real_directory(path.substr(0, slash + 1));
  if (!above) return false;
  path = (*above == "/" ? "" : *above) + path.substr(slash);
  // statfs(2), because stat(2) is answered from the kernel's cache for a while.
  struct statfs info{};
  if (!mounted_device(path) || ::statfs(path.c_str(), &info) == 0) return false;
  if (errno != ENOTCONN && errno != ECONNABORTED) return false;
  TRY(detach_mount(path));
  return true;
}

}  // namespace cloister::share
