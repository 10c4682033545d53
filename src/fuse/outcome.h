// Outcome: what an operation on the shared folder answers: a value, or the errno value that FUSE carries to
// the caller. The kernel's own numbers must arrive unchanged, so this room speaks them instead of Error
// inside the server.
#pragma once

#include <cerrno>
#include <expected>

#include "base/result.h"

namespace cloister::fuse {

struct Errno {
  int value = EIO;
  bool operator==(const Errno&) const = default;
};

template <class T>
using Outcome = std::expected<T, Errno>;

[[nodiscard]] inline std::unexpected<Errno> refuse(int number) {
  return std::unexpected(Errno{number});
}
// The current errno.
[[nodiscard]] inline std::unexpected<Errno> refuse_errno() {
  return refuse(errno);
}

}  // namespace cloister::fuse
