// The seccomp policies as data. Names as libseccomp knows them; those that an architecture or the library
// lacks are skipped there, and stay refused by the default.
#pragma once

#include <cstdint>
#include <span>

#include "sandbox/seccomp.h"

namespace cloister::sandbox {

// Holds if (argument & mask) == value. 32-bit masks on purpose for int arguments: the kernel ignores their
// upper half, and a comparison of all 64 bits could be passed by with garbage there (CVE-2019-7303,
// CVE-2019-10063).
struct Condition {
  unsigned argument = 0;
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};

// A call that is allowed if the condition holds; several for one call are alternatives.
struct AllowedUse {
  const char* name = nullptr;
  Condition condition;
};

// An allowed call that fails with `error` when the condition holds.
struct RefusedUse {
  const char* name = nullptr;
  Condition condition;
  int error = 0;
};

struct Policy {
  std::span<const std::span<const char* const>> allowed;
  std::span<const std::span<const AllowedUse>> allowed_uses;
  std::span<const std::span<const RefusedUse>> refused;
  // Families that socket() and socketpair() may be asked for, where they are allowed at all; others:
  // EAFNOSUPPORT.
  std::span<const int> families;
  // Hostile anywhere: these kill the process. forbidden ones kill it too, except in a job, which gets EPERM
  // because ordinary programs try some of them.
  std::span<const char* const> hostile;
  std::span<const char* const> forbidden;
  bool forbidden_kills = true;
};

inline constexpr int kMaxFamily =
    63;  // AF_MAX is 46 in Linux 6.18; the kernel itself refuses what lies beyond

const Policy& policy_of(Profile profile);

}  // namespace cloister::sandbox
