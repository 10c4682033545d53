#include "cli/image_build.h"
#include "cli/image_verbs.h"
#include "cli/verbs.h"

namespace cloister::cli {

void add_image(CommandLine& line, const Context& context) {
  auto image = line.verb("image", "Enclave images and their measurements");
  image.example("cloister image measure ocr.eif -o measurements.json");
  add_image_build(line, image, context);
  add_image_measure(line, image, context);
  add_image_describe(line, image, context);
  add_image_verify(line, image, context);
  add_image_sign(line, image, context);
}

}  // namespace cloister::cli
