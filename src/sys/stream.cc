#include "sys/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cloister::sys {

namespace {

constexpr std::size_t kRelayBuffer = 128 * 1024;  // bytes; where vsock and unix sockets peak

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

void set_nonblocking(int fd, bool on) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

// send() rather than write(): a peer that went away must be an error here, never a SIGPIPE.
ssize_t write_some(int fd, ByteView bytes) {
  ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n < 0 && errno == ENOTSOCK) n = ::write(fd, bytes.data(), bytes.size());
  return n;
}

}  // namespace

Status wait_for(int fd, short events, Deadline deadline, std::string_view what) {
  for (;;) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready > 0) return {};
    if (ready == 0) return fail(ErrorKind::unavailable, "{}: timed out", what);
    if (errno != EINTR) return fail_errno(what);
  }
}

Status read_exactly(Stream& stream, MutableByteView buffer) {
  while (!buffer.empty()) {
    auto n = TRY(stream.read_some(buffer));
    if (n == 0) return fail(ErrorKind::unavailable, "the peer closed with {} bytes to come", buffer.size());
    buffer = buffer.subspan(n);
  }
  return {};
}

FdStream::FdStream(Fd fd) : fd_(std::move(fd)) {
  set_nonblocking(fd_.get(), true);
}

Result<std::size_t> FdStream::read_some(MutableByteView buffer) {
  for (;;) {
    ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (would_block(errno)) {
      TRY(wait_for(fd_.get(), POLLIN, deadline_, "read"));
    } else if (errno != EINTR) {
      return fail_errno("read");
    }
  }
}

Result<std::size_t> FdStream::write_what_fits(ByteView bytes) {
  for (;;) {
    ssize_t n = write_some(fd_.get(), bytes);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (would_block(errno)) return 0;
    if (errno != EINTR) return fail_errno("write");
  }
}

Status FdStream::write_all(ByteView bytes) {
  while (!bytes.empty()) {
    auto some = TRY(write_what_fits(bytes));
    bytes = bytes.subspan(some);
    if (some == 0) TRY(wait_for(fd_.get(), POLLOUT, deadline_, "write"));
  }
  return {};
}

Status FdStream::shutdown_write() {
  if (::shutdown(fd_.get(), SHUT_WR) != 0 && errno != ENOTSOCK && errno != ENOTCONN)
    return fail_errno("shutdown");
  return {};
}

Fd FdStream::release() {
  set_nonblocking(fd_.get(), false);
  return std::move(fd_);
}

namespace {

// One direction of a relay: a bounded buffer between a source and a sink.
class Direction {
 public:
  Direction(int source, int sink, std::uint64_t& total) : source_(source), sink_(sink), total_(total) {}

  bool finished() const { return ended_ && pending_.empty(); }
  short source_events() const { return !ended_ && pending_.empty() ? POLLIN : short{0}; }
  short sink_events() const { return pending_.empty() ? short{0} : POLLOUT; }

  // Moves what can be moved without waiting.
  Status step() {
    if (pending_.empty() && !ended_) TRY(fill());
    while (!pending_.empty()) {
      ssize_t n = write_some(sink_, pending_);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && would_block(errno)) return {};
      if (n < 0) return fail_errno("relay: write");
      pending_ = pending_.subspan(static_cast<std::size_t>(n));
      total_ += static_cast<std::uint64_t>(n);
    }
    if (ended_ && !shut_) {
      ::shutdown(sink_, SHUT_WR);
      shut_ = true;
    }
    return {};
  }

 private:
  Status fill() {
    ssize_t n = ::read(source_, buffer_.data(), buffer_.size());
    if (n > 0) pending_ = ByteView(buffer_.data(), static_cast<std::size_t>(n));
    if (n == 0) ended_ = true;
    if (n < 0 && errno != EINTR && !would_block(errno)) return fail_errno("relay: read");
    return {};
  }

  int source_;
  int sink_;
  std::uint64_t& total_;
  Bytes buffer_ = Bytes(kRelayBuffer);
  ByteView pending_;
  bool ended_ = false;
  bool shut_ = false;
};

}  // namespace

Status relay(Fd first, Fd second, milliseconds idle, Relayed& moved) {
  set_nonblocking(first.get(), true);
  set_nonblocking(second.get(), true);
  Direction forward(first.get(), second.get(), moved.forward);
  Direction back(second.get(), first.get(), moved.back);
  while (!forward.finished() || !back.finished()) {
    std::array<pollfd, 2> entries{{
        {first.get(), static_cast<short>(forward.source_events() | back.sink_events()), 0},
        {second.get(), static_cast<short>(back.source_events() | forward.sink_events()), 0},
    }};
    // A side with nothing to wait for would report its hang-up in a busy loop.
    for (auto& entry : entries) {
      if (entry.events == 0) entry.fd = -1;
    }
    int ready = ::poll(entries.data(), entries.size(), static_cast<int>(idle.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno("relay: poll");
    if (ready == 0) return fail(ErrorKind::unavailable, "nothing moved for {} s", idle.count() / 1000);
    TRY(forward.step());
    TRY(back.step());
  }
  return {};
}

}  // namespace cloister::sys
