#include <cstdio>

#include "cli/verbs.h"
#include "host/key_policy.h"
#include "host/known_signers.h"
#include "kms/arn.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr sys::milliseconds kKmsTimeout = sys::seconds(60);

struct Options {
  std::string key;
  std::string alias;
  std::string description;
  std::vector<std::string> images;
  std::vector<std::string> releases;
  std::vector<std::string> principals;
  std::vector<std::string> signers;
  std::vector<std::string> names;
  bool all = false;
  bool json = false;
};

sys::Deadline soon() {
  return sys::Deadline::after(kKmsTimeout);
}

// A key as the person gave it (ARN, id or alias), and the policy that it has now.
struct Opened {
  kms::Client client;
  kms::KeyMetadata key;
  std::string policy;
};

Result<Opened> open_key(const Context& context, const std::string& name) {
  auto arn = kms::KeyArn::parse(name);
  auto region = arn ? arn->region : TRY(kms::find_region(context.environment));
  auto client = TRY(context.kms_client(region));
  auto key = TRY(client.describe_key(name, soon()));
  auto policy = TRY(client.get_key_policy(key.arn, soon()));
  return Opened{std::move(client), std::move(key), std::move(policy)};
}

// Read, change, write, and look again: KMS has no conditional write, so what somebody else wrote meanwhile is
// at least noticed.
Status change_policy(Opened& opened, const std::function<Status(host::KeyAccess&)>& change) {
  auto access = TRY(host::read_access(opened.policy));
  TRY(change(access));
  auto wanted = TRY(host::write_access(opened.policy, access, opened.key.account));
  if (TRY(opened.client.get_key_policy(opened.key.arn, soon())) != opened.policy) {
    Error error(ErrorKind::unavailable, "the key's policy was changed by somebody else meanwhile");
    return std::unexpected(std::move(error).with_hint("look at it with `cloister key show`, then try again"));
  }
  kms::PutKeyPolicyRequest request;
  request.key_id = opened.key.arn;
  request.policy = wanted;
  return opened.client.put_key_policy(request, soon());
}

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

Result<std::vector<std::string>> fingerprints(const Context& context, const std::vector<std::string>& given) {
  std::vector<std::string> out;
  auto known = TRY(host::KnownSigners::load(context.paths.known_signers()));
  for (const auto& text : given) out.push_back(to_hex(TRY(known.resolve(text))));
  return out;
}

Result<int> allow(const Context& context, const Options& options) {
  auto opened = TRY(open_key(context, options.key));
  auto signers = TRY(fingerprints(context, options.signers));
  TRY(change_policy(opened, [&](host::KeyAccess& access) -> Status {
    for (const auto& file : options.images) {
      host::allow_image(access, {.pcr0 = TRY(image_pcr0(context, file)),
                                 .principals = options.principals,
                                 .releases = options.releases,
                                 .names = options.names,
                                 .signers = signers});
    }
    return {};
  }));
  fmt::print(stderr, "cloister: {} image(s) may decrypt with {}\n", options.images.size(), opened.key.arn);
  return 0;
}

Result<int> revoke(const Context& context, const Options& options) {
  if (options.all == !options.images.empty())
    return fail(ErrorKind::invalid, "give either --image FILE or --all");
  auto opened = TRY(open_key(context, options.key));
  TRY(change_policy(opened, [&](host::KeyAccess& access) -> Status {
    if (options.all) return host::revoke_image(access, "");
    for (const auto& file : options.images) TRY(host::revoke_image(access, TRY(image_pcr0(context, file))));
    return {};
  }));
  fmt::print(stderr, "cloister: revoked; the next decryption is denied\n");
  return 0;
}

void show_list(const char* what, const std::vector<std::string>& values, const char* otherwise) {
  fmt::print("    {}: {}\n", what, values.empty() ? otherwise : fmt::format("{}", fmt::join(values, ", ")));
}

Result<int> show(const Context& context, const Options& options) {
  auto opened = TRY(open_key(context, options.key));
  if (options.json) {
    fmt::print("{}\n", opened.policy);
    return 0;
  }
  auto access = TRY(host::read_access(opened.policy));
  fmt::print("{} ({})\n", opened.key.arn, opened.key.key_state);
  if (!access.only_attested) fmt::print("  WARNING: no statement denies decryption without attestation\n");
  if (access.images.empty()) fmt::print("  no image may decrypt\n");
  for (const auto& grant : access.images) {
    fmt::print("  image {}\n", grant.pcr0);
    show_list("principals", grant.principals, "whom the account's IAM policies allow");
    show_list("packages", grant.names, "any");
    show_list("releases", grant.releases, "any");
    show_list("signers", grant.signers, "any");
  }
  return 0;
}

Result<int> policy(const Context& context, const Options& options) {
  auto opened = TRY(open_key(context, options.key));
  auto access = TRY(host::read_access(opened.policy));
  for (const auto& file : options.images) {
    host::allow_image(access, {.pcr0 = TRY(image_pcr0(context, file)),
                               .principals = options.principals,
                               .releases = options.releases,
                               .names = options.names,
                               .signers = TRY(fingerprints(context, options.signers))});
  }
  fmt::print("{}\n", TRY(host::write_access(opened.policy, access, opened.key.account)));
  return 0;
}

void add_grant_options(Command& command, Options& options) {
  command.text("-k,--key", options.key, "the key: ARN, id or alias", true)
      .list("--image", options.images,
            "measurements of an image (JSON), as `image measure` or nitro-cli prints them")
      .list("--release", options.releases, "only this release of the package (several allowed)")
      .list("--package", options.names, "only packages of this name")
      .list("--signer", options.signers, "only packages of this signer (a known name or a fingerprint)")
      .list("--principal", options.principals, "only this IAM principal (ARN)");
}

}  // namespace

void add_key(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  auto key = line.verb("key", "The KMS key of a package: who may decrypt with it");
  line.verb(key, "create", "Make a key with which nobody can decrypt yet")
      .text("--alias", options->alias, "a name for it, such as alias/ocr")
      .text("--description", options->description, "a description")
      .example("cloister key create --alias ocr")
      .action([&context, options] { return create(context, *options); });
  auto allowing = line.verb(key, "allow", "Let an enclave image decrypt");
  add_grant_options(allowing, *options);
  allowing.example("cloister key allow -k alias/ocr --image measurements.json --release 1.0")
      .action([&context, options] { return allow(context, *options); });
  line.verb(key, "revoke", "Let an image decrypt no longer")
      .text("-k,--key", options->key, "the key: ARN, id or alias", true)
      .list("--image", options->images, "measurements of the image (JSON)")
      .flag("--all", options->all, "all images")
      .action([&context, options] { return revoke(context, *options); });
  line.verb(key, "show", "Say who can decrypt")
      .text("-k,--key", options->key, "the key: ARN, id or alias", true)
      .flag("--json", options->json, "the whole policy as it is")
      .action([&context, options] { return show(context, *options); });
  auto printing = line.verb(key, "policy", "Print the policy that `allow` would write, for review");
  add_grant_options(printing, *options);
  printing.action([&context, options] { return policy(context, *options); });
}

}  // namespace cloister::cli
