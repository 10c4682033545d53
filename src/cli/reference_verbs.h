// The verbs and options of a CLI11 app as plain values.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cloister::cli {

// What an option's value, or an operand, may be.
enum class ValueKind { none, text, file, directory, words };

struct OptionFacts {
  std::vector<std::string> names;  // "-d", "--directory"; an operand's own ("FILE")
  std::string help;
  bool operand = false;
  bool required = false;
  bool repeated = false;
  ValueKind value = ValueKind::none;  // none: a flag
  std::vector<std::string> words;     // that it may be, where they are known

  const std::string& longest() const { return names.back(); }
};

struct VerbFacts {
  std::string path;  // "key allow"
  std::string about;
  std::vector<std::string> examples;
  std::vector<OptionFacts> options;
  std::vector<std::string> verbs;  // below it
};

// All but hidden ones; a verb before those below it. The first is the program itself, with an empty path.
std::vector<VerbFacts> all_verbs(const CLI::App& app);

}  // namespace cloister::cli
