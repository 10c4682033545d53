#include <algorithm>
#include <cstdio>

#include "cli/key_change.h"
#include "cli/key_show.h"
#include "cli/verbs.h"
#include "host/key_policy.h"
#include "host/known_signers.h"
#include "kms/arn.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::string_view kUnsupported = "UnsupportedOperationException";  // of the embedded KMS

struct Options {
  std::string key;
  std::string alias;
  std::string description;
  std::vector<std::string> images;
  GrantTerms terms;
  bool all = false;
  bool iam = false;
  bool json = false;
  bool check = false;
};

Result<int> create(const Context& context, const Options& options) {
  auto client = TRY(context.kms_client(TRY(kms::find_region(context.environment))));
  kms::CreateKeyRequest request;
  request.description = options.description;
  auto key = TRY(client.create_key(request, soon()));
  // From the first moment nobody decrypts without attestation, not even the owner.
  Opened opened{std::move(client), key, {}};
  opened.policy = TRY(opened.client.get_key_policy(key.arn, soon()));
  TRY(change_policy(opened, [](host::KeyAccess&) { return Status(); }));
  if (!options.alias.empty()) {
    auto alias = options.alias.starts_with("alias/") ? options.alias : "alias/" + options.alias;
    TRY(opened.client.create_alias({.alias_name = alias, .target_key_id = key.key_id}, soon()));
  }
  fmt::print("{}\n", key.arn);
  return 0;
}

Result<std::string> image_pcr0(const Context& context, const std::string& file) {
  auto text = TRY(sys::read_file(file, attestation::kMaxMeasurementsFile));
  auto measurements = TRY(attestation::Measurements::from_json(as_text(text)).context(file));
  if (measurements.simulated() && !context.embedded_kms()) {
    return fail(ErrorKind::denied,
                "{} is the measurement of a simulated enclave: an AWS key must not be opened to it", file);
  }
  return to_hex(measurements.pcrs.at(0));
}

Result<Change> wanted_change(const Context& context, const Options& options) {
  std::vector<std::string> pcr0s;
  pcr0s.reserve(options.images.size());
  for (const auto& file : options.images) pcr0s.push_back(TRY(image_pcr0(context, file)));
  return change_to_allow(context, options.terms, pcr0s);
}

Result<int> allow(const Context& context, const Options& options) {
  auto change = TRY(wanted_change(context, options));
  auto opened = TRY(open_key(context, options.key));
  std::size_t allowed = 0;  // all of them: those of earlier too
  TRY(change_policy(opened, [&](host::KeyAccess& access) -> Status {
    TRY(change(access));
    allowed = access.images.size();
    return {};
  }));
  fmt::print(stderr, "cloister: {} image(s) may decrypt with {}\n", allowed, opened.key.arn);
  return 0;
}

Result<int> revoke(const Context& context, const Options& options) {
  bool some = !options.images.empty() || !options.terms.releases.empty();
  if (options.all == some) return fail(ErrorKind::invalid, "give --image FILE, --release R, both, or --all");
  std::vector<std::string> images;
  images.reserve(options.images.size() + 1);
  for (const auto& file : options.images) images.push_back(TRY(image_pcr0(context, file)));
  auto opened = TRY(open_key(context, options.key));
  TRY(change_policy(opened, [&](host::KeyAccess& access) -> Status {
    if (images.empty()) images.emplace_back();  // every one
    for (const auto& image : images) {
      if (options.terms.releases.empty()) TRY(host::revoke_image(access, image));
      for (const auto& release : options.terms.releases) TRY(host::revoke_release(access, image, release));
    }
    return {};
  }));
  fmt::print(stderr, "cloister: revoked; the next decryption is denied\n");
  return 0;
}

// Grants that may not be listed are a finding, not a failure. The embedded KMS has none.
void ask_for_grants(const Context& context, Opened& opened, host::KeyFacts& facts) {
  auto grants = opened.client.list_grants(opened.key.arn, soon());
  if (grants) {
    facts.grants = *std::move(grants);
    return;
  }
  bool has_none = context.embedded_kms() && grants.error().message().find(kUnsupported) != std::string::npos;
  if (!has_none) facts.grants_unknown = grants.error().message();
}

Result<int> show(const Context& context, const Options& options) {
  auto opened = TRY(open_key(context, options.key));
  host::KeyFacts facts{.key = opened.key,
                       .policy = opened.policy,
                       .grants = {},
                       .grants_unknown = {},
                       .takes_simulated = context.embedded_kms(),
                       .now = context.clock.now()};
  ask_for_grants(context, opened, facts);
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  auto judgement = host::judge_key(facts);
  fmt::print("{}", options.json ? show_as_json(facts, judgement) : show_in_words(facts, judgement, signers));
  bool warned = std::ranges::any_of(
      judgement.findings, [](const auto& finding) { return finding.severity == host::Severity::warning; });
  return options.check && warned ? kExitFailure : 0;
}

Result<int> policy(const Context& context, const Options& options) {
  auto change = TRY(wanted_change(context, options));
  auto opened = TRY(open_key(context, options.key));
  if (options.iam) {
    auto policies = host::iam_policies(opened.key.arn);
    fmt::print("{{\"owner\": {},\n\"host\": {}}}\n", policies.owner, policies.host);
    return 0;
  }
  fmt::print("{}\n", TRY(changed_policy(opened, change)));
  return 0;
}

void add_grant_options(Command& command, Options& options) {
  command.text("-k,--key", options.key, "the key: ARN, id or alias", true)
      .list("--image", options.images,
            "measurements of an image (JSON), as `image measure` or nitro-cli prints them");
  add_grant_terms(command, options.terms);
}

}  // namespace

void add_key(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  auto key = line.verb("key", "The KMS key of a package: who may decrypt with it");
  key.example("cloister key show -k alias/ocr");
  line.verb(key, "create", "Make a key with which nobody can decrypt yet")
      .text("--alias", options->alias, "a name for it, such as alias/ocr")
      .text("--description", options->description, "a description")
      .example("cloister key create --alias ocr")
      .action([&context, options] { return create(context, *options); });
  auto allowing = line.verb(key, "allow", "Let an enclave image decrypt");
  add_grant_options(allowing, *options);
  allowing.example("cloister key allow -k alias/ocr --image measurements.json --release 1.0")
      .action([&context, options] { return allow(context, *options); });
  line.verb(key, "revoke", "Let an image, or a release, decrypt no longer")
      .text("-k,--key", options->key, "the key: ARN, id or alias", true)
      .list("--image", options->images, "measurements of the image (JSON)")
      .list("--release", options->terms.releases, "this release, from every image or from those named")
      .flag("--all", options->all, "all images")
      .example("cloister key revoke -k alias/ocr --release 1.0")
      .action([&context, options] { return revoke(context, *options); });
  line.verb(key, "show", "Say who can decrypt, and warn of ways around attestation")
      .text("-k,--key", options->key, "the key: ARN, id or alias", true)
      .flag("--json", options->json, "as JSON: who can decrypt, the findings, the whole policy")
      .flag("--check", options->check, "exit with 1 if there is a warning")
      .example("cloister key show -k alias/ocr --check")
      .action([&context, options] { return show(context, *options); });
  auto printing = line.verb(key, "policy", "Print the policy that `allow` would write, for review");
  add_grant_options(printing, *options);
  printing
      .flag(
          "--iam", options->iam,
          "instead, the IAM policies that whoever encrypts (owner) and the enclave's host need for this key")
      .example("cloister key policy -k alias/ocr --iam")
      .action([&context, options] { return policy(context, *options); });
}

}  // namespace cloister::cli
