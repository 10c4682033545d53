#include <cstdio>

#include "cli/image_build.h"
#include "cli/simulation_options.h"
#include "cli/verbs.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

struct Options {
  bool simulated = false;
  std::string kms_ca;
  std::string output;
};

Result<int> measure(const Context& context, const Options& options) {
  if (!options.simulated) {
    return fail(
        ErrorKind::invalid,
        "image files are not in this release: give --simulated for the enclave that `cloister up` starts");
  }
  auto authority = TRY(kms_authority(context, options.kms_ca));
  auto simulation = TRY(host::compose_simulation(context.paths.state + "/simulated/measured", authority));
  auto json = simulation.measurements.to_json() + "\n";
  if (options.output.empty()) {
    fmt::print("{}", json);
  } else {
    TRY(sys::write_file_atomic(options.output, as_bytes(json)));
  }
  return 0;
}

}  // namespace

void add_image(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  auto image = line.verb("image", "Enclave images and their measurements");
  image.example("cloister image measure --simulated -o measurements.json");
  add_image_build(line, image, context);
  line.verb(image, "measure", "Compute the measurements that a key's policy can name")
      .flag("--simulated", options->simulated, "of the simulated enclave of this machine's `cloister up`")
      .text("--kms-ca", options->kms_ca, "PEM file of the embedded KMS's authority (default: AWS_CA_BUNDLE)")
      .text("-o,--output", options->output, "write to this file")
      .example("cloister image measure --simulated -o measurements.json")
      .action([&context, options] { return measure(context, *options); });
}

}  // namespace cloister::cli
