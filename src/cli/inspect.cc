#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "codec/base64.h"
#include "host/known_signers.h"
#include "package/start.h"

namespace cloister::cli {

namespace {

using nlohmann::json;

struct Options {
  std::string file;
  bool wrapped_key = false;
  bool json = false;
};

Result<package::Header> read_header(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail_errno(path);
  auto start = TRY(package::read_start(fd.get()).context(path));
  TRY(start.header.verify_signature().context(path));
  return std::move(start.header);
}

const char* audience(package::Audience who) {
  return who == package::Audience::caller ? "you" : "nobody";
}

std::string joined(const std::vector<std::string>& items, const char* otherwise) {
  return items.empty() ? otherwise : fmt::format("{}", fmt::join(items, ", "));
}

std::string egress_of(const package::Terms& terms) {
  std::vector<std::string> out;
  for (const auto& destination : terms.egress) out.push_back(destination.to_string());
  return joined(out, "nothing: it has no network");
}

void print_terms(const package::Header& header) {
  const auto& manifest = header.public_manifest;
  const auto& terms = manifest.terms;
  fmt::print("  starts      {}\n", manifest.entries ? joined(*manifest.entries, "any of its files")
                                                    : "what its owner keeps private");
  fmt::print("  reads       {}\n",
             terms.reads ? joined(*terms.reads, "nothing") : "every folder of your share but encrypted");
  fmt::print("  writes      {}\n", joined(terms.writes, "nothing"));
  fmt::print("  connects to {}\n", egress_of(terms));
  fmt::print("  its output goes to {}, its errors to {}; diagnostics for the owner: {}\n",
             audience(terms.stdout_to), audience(terms.stderr_to),
             terms.diagnostics ? "if you ask for them" : "none");
  fmt::print("  may use     {} MiB of memory, {} processes, {} s\n", terms.limits.memory_mib,
             terms.limits.processes, terms.limits.seconds);
}

void print_header(const package::Header& header, const std::optional<host::KnownSigner>& known) {
  auto signer = header.signer_fingerprint();
  fmt::print("{} {}\n", header.name, header.release);
  fmt::print("  signer      {}\n", host::readable_fingerprint(signer));
  fmt::print("              {}\n", known
                                       ? "known to you as " + known->name
                                       : "UNKNOWN signer: the signature proves only that the file is whole");
  fmt::print("  key         {}\n", header.key_arn);
  fmt::print("  manifest    {}\n", header.manifest_digest ? to_hex(*header.manifest_digest) : "none");
  print_terms(header);
}

json to_json(const package::Header& header, bool known) {
  const auto& terms = header.public_manifest.terms;
  json out{{"name", header.name},
           {"release", header.release},
           {"key", header.key_arn},
           {"signer", to_hex(header.signer_fingerprint())},
           {"signer_known", known},
           {"encryption_context", header.encryption_context()},
           {"writes", terms.writes},
           {"limits",
            {{"memory_mib", terms.limits.memory_mib},
             {"processes", terms.limits.processes},
             {"seconds", terms.limits.seconds}}}};
  out["manifest"] = header.manifest_digest ? json(to_hex(*header.manifest_digest)) : json();
  out["reads"] = terms.reads ? json(*terms.reads) : json();
  out["entry_points"] = header.public_manifest.entries ? json(*header.public_manifest.entries) : json();
  return out;
}

Result<int> inspect(const Context& context, const Options& options) {
  auto header = TRY(read_header(options.file));
  if (options.wrapped_key) {
    fmt::print("{}\n", codec::to_base64(header.wrapped_keys.front()));
    return 0;
  }
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  auto known = signers.find(header.signer_fingerprint());
  if (options.json) {
    fmt::print("{}\n", to_json(header, known.has_value()).dump(2));
  } else {
    print_header(header, known);
  }
  if (known) return 0;
  Error error(ErrorKind::denied, fmt::format("unknown signer {}", to_hex(header.signer_fingerprint())));
  return std::unexpected(std::move(error).with_hint(
      "compare the fingerprint with the owner, then: cloister signer add NAME FINGERPRINT"));
}

}  // namespace

void add_inspect(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("inspect", "Show who signed a package, and what it will read, write and connect to")
      .text("FILE", options->file, "the package", true)
      .flag("--wrapped-key", options->wrapped_key, "print the data key as KMS wrapped it, in base64")
      .flag("--json", options->json, "print the facts as JSON")
      .example("cloister inspect ocr.cloister")
      .action([&context, options] { return inspect(context, *options); });
}

}  // namespace cloister::cli
