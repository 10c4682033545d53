// What the command line knows of itself, for other programs: manual pages, and completions for shells.
// Everything is read off the CLI11 app that --help prints, so that none of them can say something else.
#pragma once

#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace cloister::cli {

// invalid: not bash, zsh or fish.
Result<std::string> completion_for(const CLI::App& app, const std::string& shell);

// One page for the program, and one for each of its verbs (cloister-run.1), into a directory.
Status write_manual(const CLI::App& app, const std::string& directory);

}  // namespace cloister::cli
