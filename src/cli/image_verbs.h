// The verbs of `cloister image`, one source file each; image.cc lists them.
#pragma once

#include "cli/command_line.h"
#include "cli/context.h"

namespace cloister::cli {

void add_image_measure(CommandLine& line, Command& image, const Context& context);
void add_image_describe(CommandLine& line, Command& image, const Context& context);
void add_image_verify(CommandLine& line, Command& image, const Context& context);
void add_image_sign(CommandLine& line, Command& image, const Context& context);

}  // namespace cloister::cli
