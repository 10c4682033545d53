#include "sys/message_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "sys/stream.h"

namespace cloister::sys {

Status MessageSocket::send_raw(ByteView message, std::span<const int> fds, Deadline deadline) const {
  if (fds.size() > kMaxMessageFds)
    return fail(ErrorKind::internal, "{} descriptors in one message", fds.size());
  iovec data{const_cast<std::uint8_t*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    auto* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  for (;;) {
    ssize_t n = ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL | (deadline.never() ? 0 : MSG_DONTWAIT));
    if (n == static_cast<ssize_t>(message.size())) return {};
    if (n >= 0) return fail(ErrorKind::internal, "short packet sent");
    if (errno == EAGAIN && !deadline.never()) {
      TRY(wait_for(fd_.get(), POLLOUT, deadline, "send to a peer process"));
    } else if (errno != EINTR) {
      return fail_errno("send to a peer process");
    }
  }
}

Result<std::vector<Fd>> MessageSocket::receive_raw(MutableByteView message, std::size_t max_fds,
                                                   Deadline deadline) const {
  if (!deadline.never()) TRY(wait_for(fd_.get(), POLLIN, deadline, "receive from a peer process"));
  iovec data{message.data(), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail_errno("receive from a peer process");

  std::vector<Fd> fds;
  for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if (n == 0) return fail(ErrorKind::unavailable, "the peer process is gone");
  bool whole = static_cast<std::size_t>(n) == message.size() && (header.msg_flags & MSG_TRUNC) == 0;
  if (whole && (header.msg_flags & MSG_CTRUNC) != 0)
    return fail(ErrorKind::exhausted, "no room for a descriptor of a peer process");
  if (!whole || fds.size() > max_fds) {
    return fail(ErrorKind::corrupt, "a message of another shape");
  }
  return fds;
}

}  // namespace cloister::sys
