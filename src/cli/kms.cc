#include <unistd.h>

#include "cli/verbs.h"
#include "sys/program.h"

namespace cloister::cli {

namespace {

// The embedded KMS is a program of its own, beside this one: no production binary links it.
Result<int> kms(const std::vector<std::string>& arguments) {
  auto path = TRY(sys::beside_this_program("cloister-kms"));
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
