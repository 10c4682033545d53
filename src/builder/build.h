// From a recipe to an enclave image. The same recipe, inputs and Cloister give the same bytes.
#pragma once

#include <string>
#include <vector>

#include "builder/recipe.h"
#include "builder/work.h"
#include "image/eif.h"

namespace cloister::builder {

// What comes from this machine rather than from the recipe.
struct Ingredients {
  std::string init;        // path of cloister-init
  std::string supervisor;  // path of cloisterd
  std::string kms_ca;      // PEM file; empty: as the recipe has it
};
// cloister-init and cloisterd in `folder`; empty: beside this program. not_found: which is missing.
Result<Ingredients> find_programs(std::string folder);

struct Composition {
  image::ImageParts parts;              // paths below the work folder
  std::uint64_t unpacked_bytes = 0;     // what the ramdisks are in memory, in whole pages
  std::uint64_t needed_memory_mib = 0;  // of an enclave that only stands there
};

// Makes kernel and ramdisks in the work folder.
Result<Composition> compose_image(const Recipe& recipe, const Ingredients& ingredients,
                                  const WorkFolder& work, const Say& say);

// What of an image is not what the recipe makes: "ramdisk 2: /usr/bin/python3.11: other content". Empty: all
// is equal. At most kMaxDifferences lines, and one that counts the rest.
inline constexpr std::size_t kMaxDifferences = 10;
Result<std::vector<std::string>> differences(const image::Eif& image, const Composition& wanted,
                                             const WorkFolder& work);

}  // namespace cloister::builder
