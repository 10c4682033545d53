#include <cstdio>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/known_signers.h"

namespace cloister::cli {

namespace {

Result<int> add(const Context& context, const std::string& name, const std::string& text) {
  auto fingerprint = TRY(host::parse_fingerprint(text));
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  TRY(signers.add(name, fingerprint));
  TRY(signers.save(context.paths.known_signers()));
  fmt::print(stderr, "cloister: packages signed by '{}' may run now\n", name);
  return 0;
}

Result<int> list(const Context& context) {
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  for (const auto& signer : signers.all())
    fmt::print("{}\n  {}\n", signer.name, host::readable_fingerprint(signer.fingerprint));
  return 0;
}

Result<int> remove(const Context& context, const std::string& which) {
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  TRY(signers.remove(which));
  TRY(signers.save(context.paths.known_signers()));
  return 0;
}

struct Options {
  std::string name;
  std::string fingerprint;
};

}  // namespace

void add_signer(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  auto signer = line.verb("signer", "Whose packages you run");
  signer.example("cloister signer list");
  line.verb(signer, "add", "Trust a signer, after comparing the fingerprint with its owner")
      .text("NAME", options->name, "a name of your choice", true)
      .text("FINGERPRINT", options->fingerprint,
            "64 hexadecimal digits; blanks between them are fine in quotes", true)
      .example("cloister signer add acme 4f2a…")
      .action([&context, options] { return add(context, options->name, options->fingerprint); });
  line.verb(signer, "list", "Show the signers you trust").example("cloister signer list").action([&context] {
    return list(context);
  });
  line.verb(signer, "remove", "Trust a signer no longer")
      .text("NAME", options->name, "the name, or the fingerprint", true)
      .example("cloister signer remove acme")
      .action([&context, options] { return remove(context, options->name); });
}

}  // namespace cloister::cli
