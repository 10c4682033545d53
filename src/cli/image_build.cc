// `image build`, and the comparison of an image with its recipe.
#include "cli/image_build.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>

#include "builder/build.h"
#include "cli/key_change.h"
#include "image/eif.h"

namespace cloister::cli {

namespace {

constexpr std::uint64_t kMebibyte = 1024 * 1024;  // bytes

struct Options {
  std::string recipe;
  std::string output;
  RecipeOptions more;
  std::string allow_key;
  GrantTerms terms;
};

void say(const std::string& line) {
  fmt::print(stderr, "cloister: {}\n", line);
}

struct Prepared {
  builder::Recipe recipe;
  builder::Ingredients ingredients;
};

Result<Prepared> prepare(const std::string& path, const RecipeOptions& options) {
  Prepared out{TRY(builder::load_recipe(path)), {}};
  if (!options.kernel.empty()) out.recipe.kernel = options.kernel;
  out.ingredients = TRY(builder::find_programs(options.programs));
  out.ingredients.kms_ca = options.kms_ca;
  return out;
}

// A root file system does not fit everywhere: TMPDIR where it is set, else beside the image.
std::string room_for_work(const Context& context, const std::string& beside) {
  auto chosen = context.environment("TMPDIR");
  if (chosen && !chosen->empty()) return *chosen;
  std::error_code ignored;
  return std::filesystem::absolute(beside, ignored).parent_path().string();
}

// The policy follows the image: who builds says in the same breath which key it may use. An image that takes
// an emulated security module has nothing to do with AWS's keys.
Status allow_image(const Context& context, const Options& options, bool emulated,
                   const attestation::Measurements& measurements) {
  if (options.allow_key.empty()) return {};
  if (emulated && !context.embedded_kms())
    return fail(ErrorKind::denied, "{} is of mode emulated: an AWS key must not be opened to it",
                options.recipe);
  auto change = TRY(change_to_allow(context, options.terms, {to_hex(measurements.pcrs.at(0))}));
  auto opened = TRY(open_key(context, options.allow_key));
  TRY(change_policy(opened, change));
  say(fmt::format("this image may decrypt with {}", opened.key.arn));
  return {};
}

Result<int> build(const Context& context, const Options& options) {
  auto prepared = TRY(prepare(options.recipe, options.more));
  auto work = TRY(builder::WorkFolder::create(room_for_work(context, options.output)));
  auto made = TRY(builder::compose_image(prepared.recipe, prepared.ingredients, work, say));
  TRY(image::write_eif(options.output, made.parts));
  auto written = TRY(image::Eif::open(options.output));
  auto measurements = TRY(image::measure_eif(written));
  fmt::print("{}\n", measurements.to_json());
  say(fmt::format("{}: {:.1f} MiB, {:.1f} MiB unpacked; give its enclave at least {} MiB", options.output,
                  static_cast<double>(written.file_size()) / static_cast<double>(kMebibyte),
                  static_cast<double>(made.unpacked_bytes) / static_cast<double>(kMebibyte),
                  made.needed_memory_mib));
  TRY(allow_image(context, options, prepared.recipe.mode == builder::Mode::emulated, measurements)
          .context("--allow-key"));
  return 0;
}

}  // namespace

void add_recipe_options(Command& command, RecipeOptions& options) {
  command.text("--kms-ca", options.kms_ca, "PEM file: who may vouch for KMS (default: as the recipe has it)")
      .text("--kernel", options.kernel, "a kernel's file (default: Cloister's own, compiled once and kept)")
      .text("--programs", options.programs,
            "folder of cloister-init and cloisterd (default: where this program is)");
}

Result<std::vector<std::string>> compare_with_recipe(const Context& context, const image::Eif& image,
                                                     const std::string& recipe,
                                                     const RecipeOptions& options) {
  auto prepared = TRY(prepare(recipe, options));
  const char* temporary = "/var/tmp/";
  auto work = TRY(builder::WorkFolder::create(room_for_work(context, temporary)));
  auto wanted = TRY(builder::compose_image(prepared.recipe, prepared.ingredients, work, say));
  return builder::differences(image, wanted, work);
}

void add_image_build(CommandLine& line, Command& image, const Context& context) {
  auto options = std::make_shared<Options>();
  auto command = line.verb(image, "build", "Make an enclave image from a recipe");
  command.text("RECIPE", options->recipe, "what it is made of (YAML; docs/images.md)", true)
      .text("-o,--output", options->output, "write the image to this file", true);
  add_recipe_options(command, options->more);
  command.text("--allow-key", options->allow_key,
               "then let the image decrypt with this key, as `key allow` does");
  add_grant_terms(command, options->terms);
  command.example("cloister image build enclave.yaml -o enclave.eif --allow-key alias/ocr --release 1.0");
  command.example("cloister image build samples/ocr/image/enclave.yaml -o enclave.eif")
      .action([&context, options] { return build(context, *options); });
}

}  // namespace cloister::cli
