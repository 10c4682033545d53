#include <cstdio>

#include "cli/image_verbs.h"
#include "cli/simulation_options.h"
#include "image/eif.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string file;
  bool simulated = false;
  std::string kms_ca;
  std::string output;
};

Result<attestation::Measurements> measure(const Context& context, const Options& options) {
  if (options.simulated == !options.file.empty())
    return fail(ErrorKind::invalid, "give an image file, or --simulated for the enclave of `cloister up`");
  if (!options.simulated) {
    auto image = TRY(image::Eif::open(options.file));
    return image::measure_eif(image);
  }
  auto authority = TRY(kms_authority(context, options.kms_ca));
  auto simulation = TRY(host::compose_simulation(context.paths.state + "/simulated/measured", authority));
  return std::move(simulation.measurements);
}

Result<int> run(const Context& context, const Options& options) {
  auto json = TRY(measure(context, options)).to_json();
  if (options.output.empty()) {
    fmt::print("{}", json);
  } else {
    TRY(sys::write_file_atomic(options.output, as_bytes(json)));
  }
  return 0;
}

}  // namespace

void add_image_measure(CommandLine& line, Command& image, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb(image, "measure", "Compute the measurements that a key's policy can name")
      .text("FILE", options->file, "the image (.eif)")
      .flag("--simulated", options->simulated, "of the simulated enclave of this machine's `cloister up`")
      .text("--kms-ca", options->kms_ca, "PEM file of the embedded KMS's authority (default: AWS_CA_BUNDLE)")
      .text("-o,--output", options->output, "write to this file")
      .example("cloister image measure ocr.eif -o measurements.json")
      .example("cloister image measure --simulated -o measurements.json")
      .action([&context, options] { return run(context, *options); });
}

}  // namespace cloister::cli
