#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/log.h"
#include "cli/reference.h"

namespace cloister::cli {

namespace {

// How a verb's result leaves CLI11's callbacks.
struct Outcome {
  int code;
};

// CLI11 hands a footer down: a verb would have its parent's example.
CLI::App* without_footer(CLI::App* app) {
  return app->footer("");
}

// Verbs about the command line itself.
void add_reference(CommandLine& line, const CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  line.verb("completion", "Print what teaches your shell to complete cloister's verbs, options and files")
      .text("SHELL", *shell, "bash, zsh or fish", true)
      .example("source <(cloister completion bash)")
      .action([&app, shell]() -> Result<int> {
        fmt::print("{}", TRY(completion_for(app, *shell)));
        return 0;
      });
  auto directory = std::make_shared<std::string>();
  auto manual = line.verb("manual", "Write the manual pages");  // for whoever packages cloister
  manual.app().group("");
  manual.text("DIR", *directory, "the directory that they are written to", true)
      .example("cloister manual man1")
      .action([&app, directory]() -> Result<int> {
        TRY(write_manual(app, *directory));
        return 0;
      });
}

}  // namespace

void print_error(const Error& error) {
  fmt::print(stderr, "cloister: {}\n", escape_controls(error.message()));
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", escape_controls(error.hint()));
}

Command& Command::text(const std::string& names, std::string& target, const std::string& help,
                       bool required) {
  app_.add_option(names, target, help)->required(required);
  return *this;
}

Command& Command::number(const std::string& names, std::uint64_t& target, const std::string& help) {
  app_.add_option(names, target, help);
  return *this;
}

Command& Command::flag(const std::string& names, bool& target, const std::string& help) {
  app_.add_flag(names, target, help);
  return *this;
}

Command& Command::list(const std::string& names, std::vector<std::string>& target, const std::string& help,
                       bool required) {
  app_.add_option(names, target, help)->required(required)->allow_extra_args(false);
  return *this;
}

Command& Command::operands(const std::string& name, std::vector<std::string>& target,
                           const std::string& help) {
  app_.add_option(name, target, help);
  app_.positionals_at_end(false);
  operands_ = &target;
  return *this;
}

Command& Command::everything(std::vector<std::string>& target) {
  app_.prefix_command();
  app_.set_help_flag();
  operands_ = &target;
  app_.parse_complete_callback([this_app = &app_, &target] { target = this_app->remaining(); });
  return *this;
}

Command& Command::example(const std::string& line) {
  auto before = app_.get_footer();
  app_.footer((before.empty() ? "Example:" : before) + "\n  " + line);
  return *this;
}

void Command::action(std::function<Result<int>()> body) {
  app_.callback([body = std::move(body), verbatim = verbatim_, operands = operands_] {
    if (operands != nullptr)
      operands->insert(operands->end(), verbatim->begin(), verbatim->end());
    else if (!verbatim->empty())
      throw CLI::ExtrasError(*verbatim);
    auto done = body();
    if (done) throw Outcome{*done};
    print_error(done.error());
    throw Outcome{kExitFailure};
  });
}

CommandLine::CommandLine()
    : app_(std::make_unique<CLI::App>(
          "Confidential machine learning: run a secret application on private data, inside an enclave.",
          "cloister")),
      verbatim_(std::make_shared<std::vector<std::string>>()) {
  app_->set_version_flag("--version", std::string("cloister ") + CLOISTER_VERSION);
  app_->require_subcommand(1);
  app_->get_formatter()->column_width(34);
  app_->footer("Example:\n  cloister doctor");
}

CommandLine::~CommandLine() = default;

Command CommandLine::verb(const std::string& name, const std::string& about) {
  return Command(*without_footer(app_->add_subcommand(name, about)), verbatim_);
}

Command CommandLine::verb(Command& parent, const std::string& name, const std::string& about) {
  parent.app().require_subcommand(1);
  return Command(*without_footer(parent.app().add_subcommand(name, about)), verbatim_);
}

int CommandLine::run(int argc, char** argv) {
  add_reference(*this, *app_);
  // CLI11 ends a verb at "--" as soon as its operands could be complete, so it does not see what comes after.
  int shown = 1;
  while (shown < argc && std::string_view(argv[shown]) != "--") ++shown;
  for (int i = shown + 1; i < argc; ++i) verbatim_->emplace_back(argv[i]);
  try {
    app_->parse(shown, argv);
  } catch (const Outcome& outcome) {
    return outcome.code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_->exit(error);  // --help, --version
    fmt::print(stderr, "cloister: {}\nhint: cloister --help, cloister VERB --help\n",
               escape_controls(error.what()));
    return kExitUsage;
  }
  return kExitUsage;
}

}  // namespace cloister::cli
