// The command line as verbs with options. A thin face over CLI11, so that one source file alone pays for its
// header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace cloister::cli {

// One verb ("encrypt") or a verb's verb ("key allow"). `names` are as in "-d,--directory" or "FILE" for an
// operand. Targets must outlive run().
class Command {
 public:
  // `verbatim`: the words after the first "--" of the command line.
  Command(CLI::App& app, std::shared_ptr<std::vector<std::string>> verbatim)
      : app_(app), verbatim_(std::move(verbatim)) {}

  Command& text(const std::string& names, std::string& target, const std::string& help,
                bool required = false);
  Command& number(const std::string& names, std::uint64_t& target, const std::string& help);
  Command& flag(const std::string& names, bool& target, const std::string& help);
  Command& list(const std::string& names, std::vector<std::string>& target, const std::string& help,
                bool required = false);
  // Operands beside the options; all words after "--" are operands as they are, dashes included.
  Command& operands(const std::string& name, std::vector<std::string>& target, const std::string& help);
  // Takes every argument unparsed, options and --help included (for a program that this verb stands for).
  Command& everything(std::vector<std::string>& target);
  Command& example(const std::string& line);
  // What the verb does; its result is the exit code.
  void action(std::function<Result<int>()> body);

  CLI::App& app() { return app_; }

 private:
  CLI::App& app_;
  std::shared_ptr<std::vector<std::string>> verbatim_;
  std::vector<std::string>* operands_ = nullptr;
};

class CommandLine {
 public:
  CommandLine();
  ~CommandLine();

  Command verb(const std::string& name, const std::string& about);
  Command verb(Command& parent, const std::string& name, const std::string& about);

  // Parses and runs the chosen verb. Prints errors as every verb does: 1 for a failure, 2 for a usage error.
  int run(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
  std::shared_ptr<std::vector<std::string>> verbatim_;
};

// "cloister: what failed: why", and "hint: …" where there is one, on standard error.
void print_error(const Error& error);

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

}  // namespace cloister::cli
