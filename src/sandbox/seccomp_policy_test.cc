#include "sandbox/seccomp_policy.h"

#include <gtest/gtest.h>
#include <seccomp.h>

#include <algorithm>
#include <set>
#include <string>

namespace cloister::sandbox {
namespace {

// A misspelt name would silently be no rule at all.
TEST(SeccompPolicy, EveryNameIsACallOfOneOfOurArchitectures) {
  auto number = [](std::uint32_t architecture, const char* name) {
    return ::seccomp_syscall_resolve_name_arch(architecture, name);
  };
  auto check = [&](const char* name) {
    bool known = number(SCMP_ARCH_X86_64, name) >= 0 || number(SCMP_ARCH_AARCH64, name) >= 0 ||
                 number(SCMP_ARCH_X86, name) >= 0;  // vm86
    EXPECT_TRUE(known) << name;
  };
  for (auto profile : {Profile::job, Profile::unpacker, Profile::share_server, Profile::listener,
                       Profile::keeper, Profile::module}) {
    const Policy& policy = policy_of(profile);
    for (auto table : policy.allowed) std::for_each(table.begin(), table.end(), check);
    for (auto table : policy.allowed_uses) {
      for (const auto& use : table) check(use.name);
    }
    for (auto table : policy.refused) {
      for (const auto& use : table) check(use.name);
    }
    for (const char* name : policy.hostile) check(name);
    for (const char* name : policy.forbidden) check(name);
  }
}

// Where x86-64 has an older and a newer call for one purpose, arm64 has only the newer, which the tables must
// name.
TEST(SeccompPolicy, Arm64FindsItsCallsInTheTables) {
  std::set<std::string> allowed;
  for (auto table : policy_of(Profile::job).allowed) allowed.insert(table.begin(), table.end());
  for (const char* name :
       {"openat",        "newfstatat",  "mkdirat",    "unlinkat",  "renameat",      "renameat2", "linkat",
        "symlinkat",     "readlinkat",  "fchmodat",   "fchownat",  "faccessat",     "ppoll",     "pselect6",
        "epoll_create1", "epoll_pwait", "eventfd2",   "signalfd4", "inotify_init1", "pipe2",     "dup3",
        "clone",         "wait4",       "getdents64", "utimensat", "mknodat",       "accept4"}) {
    EXPECT_TRUE(allowed.contains(name)) << name;
    EXPECT_GE(::seccomp_syscall_resolve_name_arch(SCMP_ARCH_AARCH64, name), 0) << name;
  }
}

}  // namespace
}  // namespace cloister::sandbox
