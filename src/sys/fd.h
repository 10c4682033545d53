// Fd: a file descriptor owned from birth.
#pragma once

#include "base/result.h"

namespace cloister::sys {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

  // A second descriptor for the same open file, close-on-exec.
  Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();  // close-on-exec

struct SocketPair {
  Fd first;
  Fd second;
};
// type: SOCK_STREAM or SOCK_SEQPACKET. Close-on-exec.
Result<SocketPair> make_socket_pair(int type);

}  // namespace cloister::sys
