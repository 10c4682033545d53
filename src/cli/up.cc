#include <fmt/format.h>

#include <cstdio>

#include "cli/simulation_options.h"
#include "cli/verbs.h"
#include "host/process_backend.h"

namespace cloister::cli {

namespace {

struct Options {
  host::UpOptions up;
  std::string backend = "process";
  bool json = false;
};

Result<int> up(const Context& context, Options& options) {
  if (options.backend != "process") {
    return fail(ErrorKind::invalid, "backend '{}' is not in this release (process is)", options.backend);
  }
  options.up.kms_ca = TRY(kms_authority(context, options.up.kms_ca));
  auto record = TRY(host::start_process_enclave(context.paths, options.up));
  fmt::print(stderr, "cloister: enclave '{}' is up (simulated, NOT confidential: for development only)\n",
             record.name);
  if (options.json) {
    fmt::print("{}\n", record.measurements.to_json());
  } else {
    fmt::print("PCR0 {}\ncontrol {}\n", to_hex(record.measurements.pcrs.at(0)), record.control.to_string());
  }
  return 0;
}

}  // namespace

void add_up(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("up", "Start an enclave")
      .text("--backend", options->backend, "process (a simulated enclave on this machine)")
      .text("--name", options->up.name, "the enclave's name (default: default)")
      .text("--kms-ca", options->up.kms_ca,
            "PEM file of the embedded KMS's authority (default: AWS_CA_BUNDLE)")
      .text("--group", options->up.group,
            "let the members of this group use it too, each with a folder of their own")
      .number("--share-mib", options->up.share_mib, "quota of each client's shared folder, in MiB")
      .number("--share-budget-mib", options->up.share_budget_mib,
              "what all shared folders may use together, in MiB (default: half of the memory)")
      .flag("--json", options->json, "print the measurements as JSON")
      .example("cloister up")
      .action([&context, options] { return up(context, *options); });
}

}  // namespace cloister::cli
