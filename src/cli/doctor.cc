#include <cstdio>

#include "cli/verbs.h"
#include "doctor/checks.h"
#include "doctor/gather.h"
#include "doctor/report.h"

namespace cloister::cli {

namespace {

struct Options {
  doctor::Asked asked{.backend = ""};
  std::string root;
  bool offline = false;
  bool all = false;
  bool json = false;
};

Status check(const Options& options) {
  const auto& backend = options.asked.backend;
  if (!backend.empty() && backend != "process" && backend != "qemu" && backend != "nitro")
    return fail(ErrorKind::invalid, "--backend is process, qemu or nitro, not '{}'", backend);
  if (backend == "process" && !options.asked.image.empty())
    return fail(ErrorKind::invalid,
                "--image is for the backends qemu and nitro: a simulated enclave boots none");
  return host::check_enclave_name(options.asked.name);
}

Result<int> run_doctor(const Context& context, const Options& options) {
  TRY(check(options));
  auto asked = options.asked;
  asked.starting = !asked.backend.empty() || !asked.image.empty() || asked.memory_mib != 0 || asked.cpus != 0;
  doctor::Edges edges{.root = options.root,
                      .environment = context.environment,
                      .paths = context.paths,
                      .dial = kms::system_dial(context.environment),
                      .run = host::system_tools(context.environment, {}),
                      .clock = context.clock,
                      .offline = options.offline};
  auto facts = doctor::gather(edges, std::move(asked));
  auto findings = doctor::examine(facts);
  fmt::print("{}", options.json ? as_json(facts, findings) : in_words(facts, findings, options.all));
  return findings.count(doctor::Severity::problem) == 0 ? 0 : kExitFailure;
}

}  // namespace

void add_doctor(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("doctor", "Say what would stop you on this machine, before it does, and what mends it")
      .text("--backend", options->asked.backend,
            "process, qemu or nitro (default: nitro where there is its device, qemu with --image, else "
            "process)")
      .text("--image", options->asked.image, "the image to be started: does it fit, and does it belong here?")
      .text("--package", options->asked.package, "the package to be run in it")
      .text("--data", options->asked.data, "the directory to be copied into the shared folder")
      .number("--memory", options->asked.memory_mib,
              "MiB of memory, as for `up` (default: what the image asks for)")
      .number("--cpus", options->asked.cpus, "processors, as for `up` (default: what the image asks for)")
      .text("--name", options->asked.name, "the enclave's name (default: default)")
      .flag("--offline", options->offline,
            "ask nothing over the network: neither KMS nor the instance's metadata")
      .text("--root", options->root,
            "look at /proc, /sys, /etc, /dev and /usr below this directory: a host's, seen from a container")
      .flag("--all", options->all, "show what is fine, too")
      .flag("--json", options->json, "print everything as JSON")
      .example("cloister doctor")
      .example("cloister doctor --image enclave.eif --package ocr.cloister --data photos")
      .action([&context, options] { return run_doctor(context, *options); });
}

}  // namespace cloister::cli
