#include "cli/reference_verbs.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

namespace cloister::cli {

namespace {

// What CLI11 does not know of values: which are files, and which words there are. "VERB OPTION", or OPTION of
// every verb. What stands in neither is a text that no shell can guess.
struct Known {
  std::string_view option;
  ValueKind kind;
  std::vector<std::string> words;
};
const std::vector<Known>& known_values() {
  static const std::vector<Known> known = {
      {"encrypt --output", ValueKind::file, {}},
      {"image measure --output", ValueKind::file, {}},
      {"proxy --service", ValueKind::words, {"kms"}},
      {"completion SHELL", ValueKind::words, {"bash", "zsh", "fish"}},
      {"diagnose --key", ValueKind::file, {}},
      {"doctor --data", ValueKind::directory, {}},
      {"doctor --package", ValueKind::file, {}},
      {"doctor --root", ValueKind::directory, {}},
      {"run --diagnostics", ValueKind::file, {}},
      {"run --file", ValueKind::text, {}},  // a name in the shared folder
      {"run FILE", ValueKind::text, {}},
      {"--allow-list", ValueKind::file, {}},
      {"--backend", ValueKind::words, {"process", "qemu", "nitro"}},
      {"--directory", ValueKind::directory, {}},
      {"--document", ValueKind::file, {}},
      {"--from-legacy", ValueKind::file, {}},
      {"--image", ValueKind::file, {}},
      {"--kms-ca", ValueKind::file, {}},
      {"--ownership", ValueKind::words, {"mine", "keep"}},
      {"host prepare --root", ValueKind::directory, {}},
      {"host show --root", ValueKind::directory, {}},
      {"--signing-key", ValueKind::file, {}},
      {"FILE", ValueKind::file, {}},
  };
  return known;
}

// The embedded KMS parses its own words (apps/cloister_kms.cc); these are the first ones.
const std::vector<std::string> kKmsVerbs = {"init", "serve", "stop"};

void set_value(OptionFacts& option, const std::string& verb) {
  option.value = ValueKind::text;
  for (const auto& known : known_values()) {
    if (known.option != option.longest() && known.option != verb + " " + option.longest()) continue;
    option.value = known.kind;
    option.words = known.words;
    return;
  }
}

OptionFacts facts_of(const CLI::Option& option, const std::string& verb) {
  OptionFacts facts{.help = option.get_description(), .required = option.get_required()};
  facts.operand = option.get_positional();
  if (facts.operand) facts.names.push_back(option.get_name(true));
  for (const auto& name : option.get_snames()) facts.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) facts.names.push_back("--" + name);
  facts.repeated = option.get_expected_max() > 1;
  if (option.get_items_expected_max() > 0) set_value(facts, verb);
  return facts;
}

// "Example:\n  cloister …"
std::vector<std::string> examples_of(const CLI::App& app) {
  std::vector<std::string> lines;
  auto text = app.get_footer();
  for (auto at = text.find("\n  "); at != std::string::npos; at = text.find("\n  ", at + 1))
    lines.push_back(text.substr(at + 3, text.find('\n', at + 1) - at - 3));
  return lines;
}

void collect(const CLI::App& app, const std::string& path, std::vector<VerbFacts>& out) {
  VerbFacts verb{.path = path, .about = app.get_description(), .examples = examples_of(app)};
  for (const auto* option : app.get_options()) verb.options.push_back(facts_of(*option, path));
  auto shown = app.get_subcommands([](const CLI::App* below) { return !below->get_group().empty(); });
  for (const auto* below : shown) verb.verbs.push_back(below->get_name());
  if (path == "kms") verb.verbs = kKmsVerbs;
  out.push_back(std::move(verb));
  for (const auto* below : shown)
    collect(*below, path.empty() ? below->get_name() : path + " " + below->get_name(), out);
}

}  // namespace

std::vector<VerbFacts> all_verbs(const CLI::App& app) {
  std::vector<VerbFacts> out;
  collect(app, "", out);
  return out;
}

}  // namespace cloister::cli
