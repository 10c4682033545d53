// MessageSocket: fixed structs between our own processes over a SOCK_SEQPACKET pair, file descriptors beside
// them. One packet is one struct of exactly its size: a packet of any other size, or with more descriptors
// than the receiver named, is refused and its descriptors are closed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "sys/clock.h"
#include "sys/fd.h"

namespace cloister::sys {

inline constexpr std::size_t kMaxMessageFds = 8;
inline constexpr std::size_t kMaxMessageBytes = 128 * 1024;  // below the default socket buffer of 208 KiB

class MessageSocket {
 public:
  MessageSocket() = default;
  explicit MessageSocket(Fd fd) : fd_(std::move(fd)) {}

  // Thread-safe: one send is one packet. unavailable: the peer is gone, or had no room by the deadline.
  template <class T>
  Status send(const T& message, std::span<const int> fds = {}, Deadline deadline = {}) const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxMessageBytes);
    return send_raw({reinterpret_cast<const std::uint8_t*>(&message), sizeof message}, fds, deadline);
  }
  // unavailable: the peer is gone or the deadline passed. corrupt: not a T, or too many descriptors.
  // exhausted: a T whose descriptors found no room in this process; they are lost, and the next one can come.
  template <class T>
  Result<std::vector<Fd>> receive(T& message, std::size_t max_fds = 0, Deadline deadline = {}) const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxMessageBytes);
    return receive_raw({reinterpret_cast<std::uint8_t*>(&message), sizeof message}, max_fds, deadline);
  }

  int descriptor() const { return fd_.get(); }
  Fd release() { return std::move(fd_); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Status send_raw(ByteView message, std::span<const int> fds, Deadline deadline) const;
  Result<std::vector<Fd>> receive_raw(MutableByteView message, std::size_t max_fds, Deadline deadline) const;
  Fd fd_;
};

// A bounded text inside a fixed struct: NUL-terminated, so at most N-1 bytes; filled with zeros.
template <std::size_t N>
struct FixedText {
  char data[N] = {};

  Status set(std::string_view text, std::string_view what) {
    if (text.size() >= N) return fail(ErrorKind::invalid, "{} is longer than {} bytes", what, N - 1);
    if (text.find('\0') != std::string_view::npos)
      return fail(ErrorKind::invalid, "{} holds a NUL byte", what);
    std::fill(std::begin(data), std::end(data), '\0');
    std::copy(text.begin(), text.end(), std::begin(data));
    return {};
  }
  // Never reads past the array, whatever the peer sent.
  std::string_view view() const {
    auto end = std::find(std::begin(data), std::end(data), '\0');
    return {data, static_cast<std::size_t>(end - std::begin(data))};
  }
};

}  // namespace cloister::sys
