#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "cli/verbs.h"

namespace cloister::cli {

namespace {

struct Finding {
  bool good = false;
  std::string what;
  std::string mend;
};

bool exists(const char* path) {
  return ::access(path, F_OK) == 0;
}

std::vector<Finding> examine(const Context& context) {
  auto has = [&](std::string_view name) { return context.environment(name).has_value(); };
  auto chain = kms::default_chain(context.surroundings());
  return {
      {::geteuid() == 0, "root, for building the walls of jobs", "run as root, or with sudo -E"},
      {exists("/dev/fuse"), "/dev/fuse, for the shared folder", "modprobe fuse"},
      {exists("/proc/self/ns/user"), "user namespaces, for the share's server",
       "a kernel with CONFIG_USER_NS"},
      {exists("/usr/bin/python3"), "/usr/bin/python3, for applications in Python", "apt-get install python3"},
      {chain.load().has_value(), "AWS credentials",
       "source the user.env that cloister kms init wrote, or set AWS_ACCESS_KEY_ID…"},
      {kms::find_region(context.environment).has_value(), "an AWS region", "export AWS_REGION=…"},
      {!context.embedded_kms() || has("AWS_CA_BUNDLE"), "the authority of the embedded KMS",
       "export AWS_CA_BUNDLE=…/ca.pem"},
  };
}

Result<int> doctor(const Context& context) {
  int bad = 0;
  for (const auto& finding : examine(context)) {
    fmt::print("{} {}\n", finding.good ? "ok     " : "MISSING", finding.what);
    if (!finding.good) fmt::print("        mend: {}\n", finding.mend);
    if (!finding.good) ++bad;
  }
  return bad == 0 ? 0 : kExitFailure;
}

}  // namespace

void add_doctor(CommandLine& line, const Context& context) {
  line.verb("doctor", "Say what on this machine would stop you, and how to mend it")
      .example("cloister doctor")
      .action([&context] { return doctor(context); });
}

}  // namespace cloister::cli
