#include <unistd.h>

#include <array>

#include "cli/verbs.h"

namespace cloister::cli {

namespace {

// The embedded KMS is a program of its own, beside this one: no production binary links it.
Result<int> kms(const std::vector<std::string>& arguments) {
  std::array<char, 4096> self{};
  ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
  if (n <= 0) return fail_errno("/proc/self/exe");
  std::string path(self.data(), static_cast<std::size_t>(n));
  path = path.substr(0, path.rfind('/') + 1) + "cloister-kms";
  std::vector<char*> argv{path.data()};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return fail_errno(path);
}

}  // namespace

void add_kms(CommandLine& line, const Context&) {
  auto arguments = std::make_shared<std::vector<std::string>>();
  line.verb("kms", "The embedded KMS, for machines without AWS: init, serve, stop, principal, session")
      .everything(*arguments)
      .example("cloister kms init --dir kms && cloister kms serve --dir kms --detach")
      .action([arguments] { return kms(*arguments); });
}

}  // namespace cloister::cli
