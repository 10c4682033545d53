#include "sandbox/user_namespace.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "base/bytes.h"
#include "sandbox/identity.h"
#include "sys/file.h"

namespace cloister::sandbox {

namespace {

constexpr int kNotStarted = 127;  // exit code of a child that never came to its body

Status write_map(pid_t pid, const char* file, const std::string& text) {
  auto path = fmt::format("/proc/{}/{}", pid, file);
  sys::Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  // One write: the kernel takes a map whole, once.
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(path);
  return {};
}

// True when the parent said go; false when it died or gave up.
bool wait_for_go(int fd) {
  char byte = 0;
  ssize_t n;
  while ((n = ::read(fd, &byte, 1)) < 0 && errno == EINTR) {
  }
  return n == 1;
}

bool become_inner_root(pid_t parent) {
  return become(0, 0).has_value() && die_with_parent(parent).has_value();
}

}  // namespace

Status write_id_maps(pid_t pid, const std::vector<IdRange>& ranges) {
  if (ranges.empty() || ranges.size() > kMaxIdRanges) {
    return fail(ErrorKind::invalid, "{} id ranges (1 to {} allowed)", ranges.size(), kMaxIdRanges);
  }
  std::string text;
  for (const auto& range : ranges)
    text += fmt::format("{} {} {}\n", range.inside, range.outside, range.count);
  TRY(write_map(pid, "uid_map", text));
  return write_map(pid, "gid_map", text);
}

Result<sys::Child> fork_in_user_namespace(const std::function<int()>& body,
                                          const std::vector<IdRange>& ranges, unsigned clone_flags) {
  auto go = TRY(sys::make_pipe());
  pid_t parent = (clone_flags & CLONE_NEWPID) != 0 ? 0 : ::getpid();
  auto inner = [&] {
    go.write.reset();  // so that the parent's death ends the wait
    if (!wait_for_go(go.read.get()) || !become_inner_root(parent)) return kNotStarted;
    go.read.reset();
    return body();
  };
  auto child = TRY(sys::fork_child(inner, clone_flags | CLONE_NEWUSER).context("fork into a user namespace"));
  TRY(write_id_maps(child.pid(), ranges));
  TRY(sys::write_all(go.write.get(), as_bytes("g"), "start the child"));
  return child;
}

Result<sys::Fd> make_user_namespace(const std::vector<IdRange>& ranges) {
  auto hold = TRY(sys::make_pipe());
  auto inner = [&] {
    hold.write.reset();
    wait_for_go(hold.read.get());
    return 0;
  };
  auto child = TRY(sys::fork_child(inner, CLONE_NEWUSER).context("fork into a user namespace"));
  TRY(write_id_maps(child.pid(), ranges));
  auto path = fmt::format("/proc/{}/ns/user", child.pid());
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  return fd;
}

}  // namespace cloister::sandbox
