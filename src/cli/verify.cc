#include <algorithm>
#include <cstdio>

#include "cli/verbs.h"
#include "cli/verify_input.h"
#include "cli/verify_report.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::size_t kMaxRoot = 64 * 1024;  // bytes
constexpr const char* kRootHint =
    "is it of an emulated module? --root PEM names a development root that you trust instead of AWS";
constexpr const char* kTimeHint = "without --at a document is judged at its own time";
constexpr const char* kForgedHint = "it was changed on its way, or no Nitro module made it: ask for another";

struct Options {
  std::string name = host::kDefaultEnclave;
  std::string image;
  std::string document;
  std::string root;
  std::string at;
  std::string parent;
  std::string role;
  bool any_image = false;
  bool allow_debug = false;
  bool json = false;
};

Result<attestation::Demands> demands_of(const Options& options) {
  attestation::Demands demands{.any_image = options.any_image,
                               .allow_debug = options.allow_debug,
                               .instance = options.parent,
                               .role = options.role};
  if (!options.parent.empty() && !attestation::is_instance_id(options.parent))
    return fail(ErrorKind::invalid, "--parent: not the id of an instance, as in i-020b6af9246d90e92");
  if (!options.role.empty() && !options.role.starts_with("arn:"))
    return fail(ErrorKind::invalid,
                "--role: not the ARN of a role, as in arn:aws:iam::123456789012:role/Parent");
  if (options.image.empty()) return demands;
  auto text = TRY(sys::read_file(options.image, attestation::kMaxMeasurementsFile));
  demands.image = TRY(attestation::Measurements::from_json(as_text(text)).context(options.image));
  return demands;
}

Result<crypto::Certificate> root_of(const Options& options) {
  if (options.root.empty()) return attestation::aws_nitro_root();
  auto pem = TRY(sys::read_file(options.root, kMaxRoot));
  auto roots = TRY(crypto::Certificate::list_from_pem(pem).context(options.root));
  if (roots.size() != 1)
    return fail(ErrorKind::invalid, "{}: {} certificates, where one root is wanted", options.root,
                roots.size());
  return roots.front();
}

const char* hint_for(const attestation::Document& refused, const crypto::Certificate& root, bool own_time) {
  if (!std::ranges::equal(refused.cabundle.front(), root.der())) return kRootHint;
  return own_time ? kForgedHint : kTimeHint;
}

// A document in a file is judged at its own time unless told otherwise: its certificates live for hours.
Result<Evidence> from_file(const Context& context, const Options& options) {
  auto root = TRY(root_of(options));
  auto asked = options.at.empty() ? std::nullopt : std::optional(TRY(parse_time(options.at)));
  auto bytes = TRY(read_document(options.document).context(options.document));
  auto parsed = TRY(attestation::SignedDocument::parse(bytes).context(options.document));
  auto at = asked.value_or(parsed.document.timestamp);
  auto document = TRY(attestation::verify(bytes, root, at)
                          .context(options.document)
                          .with_hint(hint_for(parsed.document, root, !asked)));
  return Evidence{.document = std::move(document),
                  .root = std::move(root),
                  .at = at,
                  .now = context.clock.now(),
                  .judged = asked ? fmt::format("as of {}, the time you gave", utc(at))
                                  : "as of its own time: whether it is fresh, only a nonce of yours tells"};
}

// The session has made a nonce, and the document answers it. The measurements noted at `up` have matched.
Result<Evidence> from_enclave(const Context& context, const Options& options, attestation::Demands& demands) {
  if (!options.root.empty() || !options.at.empty())
    return fail(ErrorKind::invalid, "--root and --at go with --document: a running enclave is judged now");
  auto enclave = TRY(host::read_record(context.paths, options.name));
  auto session = TRY(context.open_session(enclave, ""));
  auto expected = TRY(enclave.expectation());
  auto root = TRY(Context::trusted_root(enclave, expected));
  if (!demands.image && !demands.any_image) demands.image = expected.measurements;
  auto now = context.clock.now();
  return Evidence{.document = session.document(),
                  .root = std::move(root),
                  .at = now,
                  .now = now,
                  .judged = "now, over a connection of its own that it is bound to, by a fresh nonce"};
}

Result<Evidence> gather(const Context& context, const Options& options) {
  auto demands = TRY(demands_of(options));
  auto evidence =
      TRY(options.document.empty() ? from_enclave(context, options, demands) : from_file(context, options));
  evidence.judgement = attestation::judge(evidence.document, demands, evidence.at);
  evidence.compared_with = options.image.empty()
                               ? fmt::format("enclave '{}', as noted at cloister up", options.name)
                               : options.image;
  return evidence;
}

Result<int> verify(const Context& context, const Options& options) {
  auto evidence = gather(context, options);
  if (!evidence) {
    if (options.json) fmt::print("{}", refusal_as_json(evidence.error()));
    return std::unexpected(std::move(evidence).error());
  }
  fmt::print("{}", options.json ? report_as_json(*evidence) : report_in_words(*evidence));
  if (evidence->judgement.doubts.empty()) return 0;
  const auto& first = evidence->judgement.doubts.front();
  const auto& what = options.document.empty() ? options.name : options.document;
  return std::unexpected(
      Error(ErrorKind::denied, fmt::format("{}: {}", what, first.why)).with_hint(first.hint));
}

}  // namespace

void add_verify(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("verify", "Check an enclave's attestation, or any Nitro attestation document in a file")
      .text("--document", options->document, "a document (CBOR or base64; - is standard input) to check")
      .text("--image", options->image, "measurements (JSON): every PCR in them has to match")
      .flag("--any-image", options->any_image, "compare with no image, and do not count that as a doubt")
      .flag("--allow-debug", options->allow_debug, "do not count debug mode as a doubt")
      .text("--parent", options->parent, "the instance that the enclave has to run on (i-…; PCR4)")
      .text("--role", options->role, "the ARN of that instance's IAM role (PCR3)")
      .text("--at", options->at, "judge --document as of this time (RFC 3339), not its own")
      .text("--root", options->root, "a development root (PEM) to trust for --document instead of AWS's")
      .flag("--json", options->json, "print the facts, the doubts and the verdict as JSON")
      .text("--name", options->name, "the enclave's name")
      .example("cloister verify --document attestation.cbor --image measurements.json")
      .action([&context, options] { return verify(context, *options); });
}

}  // namespace cloister::cli
