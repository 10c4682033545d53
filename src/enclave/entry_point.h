// How a file of the package is started: which interpreter, with which arguments. The caller names a file and
// arguments; it can name neither an interpreter, nor a flag for one, nor anything outside the package.
#pragma once

#include <string>
#include <vector>

#include "sys/dir.h"

namespace cloister::enclave {

inline constexpr const char* kPackageDirectory = "/app";  // where the job sees its package
inline constexpr std::size_t kMaxShebang = 256;           // bytes of a first line that is looked at

struct Command {
  std::string program;  // absolute path in the job's root
  std::vector<std::string> argv;
};

// not_found: no such file in the package (exit 127). denied: a file that cannot be run: a directory, a name
// with "..", a leading dash, neither executable nor of a known kind (exit 126).
Result<Command> choose_command(const sys::Dir& package, const std::string& entry,
                               const std::vector<std::string>& arguments);

}  // namespace cloister::enclave
