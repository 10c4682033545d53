#include <fmt/format.h>

#include <cstdio>

#include "cli/simulation_options.h"
#include "cli/verbs.h"
#include "host/backend.h"

namespace cloister::cli {

namespace {

struct Options {
  host::UpOptions up;
  bool json = false;
};

// What a glance must not miss.
std::string_view honesty(const host::EnclaveRecord& record) {
  if (record.backend == "process") return "simulated, NOT confidential: for development only";
  if (record.backend == "nitro")
    return record.mode == "production"
               ? "AWS Nitro: what runs in it, its documents prove"
               : "AWS Nitro, debug mode with zero measurements, NOT confidential: nothing runs in it";
  if (record.mode.ends_with("debug"))
    return "emulated with zero measurements, NOT confidential: nothing runs in it";
  return "emulated, NOT confidential: for development only";
}

Result<int> up(const Context& context, Options& options) {
  if (options.up.backend == "process") options.up.kms_ca = TRY(kms_authority(context, options.up.kms_ca));
  auto record = TRY(host::start_enclave(context.paths, context.environment, options.up));
  fmt::print(stderr, "cloister: enclave '{}' is up ({})\n", record.name, honesty(record));
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
      .text("--backend", options->up.backend,
            "process (a simulated enclave on this machine, the default), qemu (an image on an emulated "
            "machine) or nitro (a real one, by AWS's nitro-cli)")
      .text("--image", options->up.image, "qemu, nitro: the enclave image to boot")
      .number("--memory", options->up.memory_mib,
              "qemu, nitro: MiB of memory (default: what the image asks for)")
      .number("--cpus", options->up.cpus, "qemu, nitro: processors (default: what the image asks for)")
      .text("--accelerator", options->up.accelerator,
            "qemu: kvm, or tcg, which needs no virtualisation (default: kvm where it works)")
      .flag("--debug", options->up.debug,
            "qemu, nitro: keep the console, with zero measurements; nothing runs in it")
      .number("--enclave-cid", options->up.cid,
              "nitro: the enclave's vsock address (default: nitro-cli chooses one)")
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
      .example("cloister up --backend qemu --image enclave.eif --memory 1024")
      .example("cloister up --backend nitro --image enclave.eif --memory 3072 --cpus 2")
      .action([&context, options] { return up(context, *options); });
}

}  // namespace cloister::cli
