// Programs of this project find each other where they stand: side by side.
#pragma once

#include <string>

#include "base/result.h"

namespace cloister::sys {

// The path of a program in the directory of the one that runs. not_found: it is not there, or not executable.
Result<std::string> beside_this_program(const std::string& name);

}  // namespace cloister::sys
