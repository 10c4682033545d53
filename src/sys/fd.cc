#include "sys/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cloister::sys {

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Fd> Fd::duplicate() const {
  int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno("duplicate a descriptor");
  return Fd(copy);
}

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

Result<SocketPair> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno("socketpair");
  return SocketPair{Fd(fds[0]), Fd(fds[1])};
}

}  // namespace cloister::sys
