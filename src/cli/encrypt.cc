#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "cli/progress.h"
#include "cli/verbs.h"
#include "host/key_file.h"
#include "host/known_signers.h"
#include "host/legacy_package.h"
#include "host/manifest_yaml.h"
#include "kms/arn.h"
#include "package/pack.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr sys::milliseconds kKmsTimeout = sys::seconds(60);
constexpr const char* kOldKeyHint =
    "you need kms:Decrypt on the key that the sample used, in the region that AWS_REGION names";

struct Options {
  std::string directory;
  std::string legacy;  // instead of a directory
  std::string key;
  std::string output;
  std::string name;
  std::string release = "1";
  std::string signing_key;
};

class KmsDataKeys final : public package::DataKeySource {
 public:
  KmsDataKeys(kms::Client& client, std::string key) : client_(client), key_(std::move(key)) {}

  Result<package::DataKey> generate(const package::EncryptionContext& context) override {
    auto answer = TRY(client_.generate_data_key(key_, context, sys::Deadline::after(kKmsTimeout)));
    return package::DataKey{std::move(answer.plaintext), std::move(answer.ciphertext),
                            std::move(answer.key_id)};
  }

 private:
  kms::Client& client_;
  std::string key_;
};

// The owner's signing key, made on first use: its fingerprint is what users compare and pin.
Result<crypto::PrivateKey> load_or_create_signing_key(const std::string& path) {
  auto file = TRY(host::load_or_create_key(path, crypto::KeyType::ed25519));
  if (file.made)
    fmt::print(stderr, "cloister: made a signing key, {} (keep it: users pin its fingerprint)\n", path);
  return std::move(file.key);
}

// "path/to/ocr/" → "ocr"
std::string base_name(const std::string& directory) {
  std::error_code error;
  return std::filesystem::canonical(directory, error).filename().string();
}

// "path/to/application_code.zip.encrypted" → "application_code"
std::string legacy_name(const std::string& file) {
  auto name = std::filesystem::path(file).filename().string();
  for (std::string_view ending : {".encrypted", ".zip"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return name;
}

// Packs whatever the application is in, under a fresh data key.
Result<int> pack(const Context& context, const Options& options, const package::Source& source,
                 std::optional<package::Manifest> manifest) {
  auto output = options.output.empty() ? options.name + ".cloister" : options.output;
  auto signer_path = options.signing_key.empty() ? context.paths.signing_key() : options.signing_key;
  auto signer = TRY(load_or_create_signing_key(signer_path));
  auto arn = kms::KeyArn::parse(options.key);
  auto client = TRY(context.kms_client(arn ? arn->region : TRY(kms::find_region(context.environment))));
  KmsDataKeys keys(client, options.key);
  Progress progress("encrypting", ::isatty(STDERR_FILENO) == 1);
  package::PackOptions pack{
      .name = options.name, .release = options.release, .manifest = std::move(manifest)};
  pack.progress = [&progress](const package::PackProgress& now) { progress.show(now.done, now.total); };
  auto file = TRY(sys::PendingFile::create(output));
  auto header = TRY(package::write_package(source, pack, keys, signer, file.descriptor()));
  TRY(file.commit());
  progress.finish();
  fmt::print(stderr, "cloister: wrote {} ({} {}, {})\n", output, header.name, header.release,
             pack.manifest ? "with a manifest" : "without a manifest: any of its files may be started");
  fmt::print("signer {}\n", to_hex(header.signer_fingerprint()));
  return 0;
}

// The sample's data key, decrypted as the owner. Its package names no key and no region: the ciphertext knows
// its key, and the region is the one that is set, else the new key's.
Result<Secret> legacy_data_key(const Context& context, const Options& options, const Bytes& wrapped) {
  auto region = kms::find_region(context.environment);
  auto arn = kms::KeyArn::parse(options.key);
  if (!region && arn) region = arn->region;
  auto client = TRY(context.kms_client(TRY(std::move(region))));
  kms::DecryptRequest request{.ciphertext = wrapped};
  auto key = client.decrypt(request, sys::Deadline::after(kKmsTimeout)).context("the sample's data key");
  if (key || key.error().kind() != ErrorKind::denied) return key;
  // What KMS's client would hint is about enclaves.
  return std::unexpected(Error(key.error().kind(), key.error().message()).with_hint(kOldKeyHint));
}

Result<int> convert(const Context& context, Options& options) {
  auto legacy = TRY(host::LegacyPackage::open(options.legacy));
  auto data_key = TRY(legacy_data_key(context, options, legacy.wrapped_key()));
  auto directory = context.environment("TMPDIR");
  auto archive = TRY(legacy.decrypt(data_key, directory && !directory->empty() ? *directory : "/tmp")
                         .context(options.legacy));
  data_key.wipe();
  auto manifest = TRY(host::load_manifest_yaml(archive).context(options.legacy));
  if (options.name.empty()) options.name = legacy_name(options.legacy);
  return pack(context, options, host::ZipSource(archive), std::move(manifest));
}

Result<int> encrypt(const Context& context, Options& options) {
  if (options.directory.empty() == options.legacy.empty()) {
    print_error(Error(ErrorKind::invalid, "give either --directory or --from-legacy")
                    .with_hint("cloister encrypt --help"));
    return kExitUsage;
  }
  if (!options.legacy.empty()) return convert(context, options);
  auto source = TRY(sys::Dir::open(options.directory).context("application"));
  auto manifest = TRY(host::load_manifest_yaml(options.directory));
  if (options.name.empty()) options.name = base_name(options.directory);
  return pack(context, options, package::DirectorySource(source), std::move(manifest));
}

}  // namespace

void add_encrypt(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("encrypt", "Encrypt and sign an application's directory under a KMS key")
      .text("-d,--directory", options->directory,
            "the application: code, models, data, and cloister.yaml if you have one")
      .text("--from-legacy", options->legacy,
            "instead: a package of the old Python sample (application_code.zip.encrypted), to turn into one "
            "of ours")
      .text("-k,--key", options->key, "the KMS key: ARN, id or alias", true)
      .text("-o,--output", options->output, "the package (default: NAME.cloister)")
      .text("--name", options->name, "the application's name (default: the directory's)")
      .text("--release", options->release, "its release (default: 1)")
      .text("--signing-key", options->signing_key, "Ed25519 key, PEM (default: your own, made on first use)")
      .example("cloister encrypt -d ./ocr -k alias/ocr --release 1.0 -o ocr.cloister")
      .example("cloister encrypt --from-legacy application_code.zip.encrypted -k alias/ocr --name ocr")
      .action([&context, options] { return encrypt(context, *options); });
}

}  // namespace cloister::cli
