#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/key_file.h"
#include "package/diagnostics.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string file;
  std::string key;
  bool public_key = false;
  bool json = false;
};

// Control characters stay out of terminals: the application may have written what its user's data held.
std::string shown(const Context& context, ByteView text) {
  if (!context.terminal) return std::string(as_text(text));
  std::string out;
  for (std::string_view rest = as_text(text); !rest.empty();) {
    auto line = rest.substr(0, rest.find('\n'));
    out += escape_controls(line) + '\n';
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return out;
}

void print(const Context& context, const package::Diagnostics& bundle) {
  fmt::print("{} {}, {}: {}\n", escape_controls(bundle.name), escape_controls(bundle.release),
             escape_controls(bundle.entry), escape_controls(bundle.end));
  fmt::print("signed by {}\n", to_hex(bundle.signer));
  if (bundle.dropped > 0) fmt::print("({} bytes of stderr came before)\n", bundle.dropped);
  fmt::print("\n{}", shown(context, bundle.standard_error));
}

void print_json(const package::Diagnostics& bundle) {
  nlohmann::json out{
      {"name", bundle.name},      {"release", bundle.release}, {"signer", to_hex(bundle.signer)},
      {"entry", bundle.entry},    {"end", bundle.end},         {"stderr", as_text(bundle.standard_error)},
      {"dropped", bundle.dropped}};
  fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

Result<int> show_public_key(const std::string& path) {
  auto file = TRY(host::load_or_create_key(path, crypto::KeyType::x25519));
  if (file.made) fmt::print(stderr, "cloister: made a key for diagnostics, {}\n", path);
  fmt::print("{}\n", to_hex(TRY(file.key.public_key().raw())));
  return 0;
}

Result<int> diagnose(const Context& context, const Options& options) {
  auto path = options.key.empty() ? context.paths.diagnostics_key() : options.key;
  if (options.public_key) return show_public_key(path);
  if (options.file.empty()) return fail(ErrorKind::invalid, "which bundle? give its FILE, or --public-key");
  auto key = host::load_key(path, crypto::KeyType::x25519);
  if (!key && key.error().kind() == ErrorKind::not_found) {
    Error error(ErrorKind::not_found, fmt::format("there is no key at {}", path));
    return std::unexpected(
        std::move(error).with_hint("--key FILE names another; --public-key makes one for your next release"));
  }
  auto bundle = TRY(sys::read_file(options.file, package::kMaxDiagnosticBundle));
  auto opened = TRY(package::Diagnostics::open(TRY(std::move(key)), bundle).context(options.file));
  if (options.json) print_json(opened);
  if (!options.json) print(context, opened);
  return 0;
}

}  // namespace

void add_diagnose(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("diagnose", "Open what `run --diagnostics` wrote for you, the application's owner")
      .text("FILE", options->file, "the diagnostic bundle")
      .text("--key", options->key, "your private key (default: diagnostics-key.pem beside the signing key)")
      .flag("--public-key", options->public_key,
            "print your public key, for owner_key in cloister.yaml; makes the key on first use")
      .flag("--json", options->json, "print it as JSON")
      .example("cloister diagnose failure.cldiag")
      .action([&context, options] { return diagnose(context, *options); });
}

}  // namespace cloister::cli
