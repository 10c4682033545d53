// For tests that mount: what they need, and shells that touch the mount in their place. The test's own
// process serves the mount, and must never wait for itself.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "sys/process.h"

namespace cloister::share {

// Why nothing can be mounted here; empty if it can.
inline std::string why_not() {
  if (::geteuid() != 0) return "mounting needs root here";
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "no /dev/fuse";
  return "";
}

inline bool have(const std::string& program) {
  return ::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

// Runs a shell script there; its exit code. 124: it took too long.
inline int run_in(const std::string& directory, const std::string& script) {
  auto whole = "cd " + directory + " && set -eu\n" + script;
  const char* argv[] = {"timeout", "-k", "1", "40", "bash", "-c", whole.c_str(), nullptr};
  auto child = sys::fork_child([&] {
    ::execvp(argv[0], const_cast<char**>(argv));
    return 127;
  });
  if (!child) return -1;
  auto status = child->wait(sys::Deadline::after(sys::seconds(60)));
  return status ? status->shell_code() : -1;
}

}  // namespace cloister::share
