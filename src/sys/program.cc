#include "sys/program.h"

#include <unistd.h>

#include <array>

namespace cloister::sys {

Result<std::string> beside_this_program(const std::string& name) {
  std::array<char, 4096> self{};
  ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
  if (n <= 0) return fail_errno("/proc/self/exe");
  std::string path(self.data(), static_cast<std::size_t>(n));
  path = path.substr(0, path.rfind('/') + 1) + name;
  if (::access(path.c_str(), X_OK) != 0)
    return fail(ErrorKind::not_found, "{} is not installed beside this program", path);
  return path;
}

}  // namespace cloister::sys
