// `image build`, and what `image verify --recipe` needs of it.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/context.h"
#include "image/eif.h"

namespace cloister::cli {

// What a person may give beside a recipe.
struct RecipeOptions {
  std::string kms_ca;
  std::string kernel;
  std::string programs;
};
void add_recipe_options(Command& command, RecipeOptions& options);

// Makes what the recipe says, and names what of the image differs; empty: nothing does.
Result<std::vector<std::string>> compare_with_recipe(const Context& context, const image::Eif& image,
                                                     const std::string& recipe, const RecipeOptions& options);

void add_image_build(CommandLine& line, Command& image, const Context& context);

}  // namespace cloister::cli
