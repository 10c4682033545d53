#include <cstdio>

#include "cli/image_verbs.h"
#include "image/eif_signature.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::size_t kMaxPem = 64 * 1024;  // bytes, of a key or a certificate

struct Options {
  std::string file;
  std::string key;
  std::string certificate;
  std::string output;
  bool replace = false;
};

Result<crypto::PrivateKey> read_key(const std::string& path) {
  auto bytes = TRY(sys::read_file(path, kMaxPem));
  auto key = crypto::PrivateKey::from_foreign_pem(bytes);
  wipe(bytes);
  return std::move(key).context(path).with_hint(
      "openssl pkcs8 -topk8 -nocrypt -in KEY.pem writes an unencrypted one");
}

Result<crypto::Certificate> read_certificate(const std::string& path) {
  auto bytes = TRY(sys::read_file(path, kMaxPem));
  auto certificates = TRY(crypto::Certificate::list_from_pem(bytes).context(path));
  // Of several the enclave would measure the first, which need not be the one that its owner means.
  if (certificates.size() != 1)
    return fail(ErrorKind::invalid, "{}: {} certificates, where the signer's alone is wanted", path,
                certificates.size());
  return std::move(certificates.front());
}

Result<int> sign(const Context& context, const Options& options) {
  auto image = TRY(image::Eif::open(options.file));
  if (image.signature_section() != nullptr && !options.replace) {
    Error error(ErrorKind::denied, fmt::format("{} is signed already", options.file));
    return std::unexpected(std::move(error).with_hint("--replace takes that signature away"));
  }
  auto key = TRY(read_key(options.key));
  auto certificate = TRY(read_certificate(options.certificate));
  const auto& path = options.output.empty() ? options.file : options.output;
  image::Signer signer{std::move(key), std::move(certificate)};
  TRY(image::sign_eif(image, path, signer, options.replace, context.clock.now())
          .context(options.certificate));
  auto result = TRY(image::Eif::open(path));
  auto measurements = TRY(image::measure_eif(result));
  fmt::print("{}", measurements.to_json());
  fmt::print(stderr, "cloister: {} is signed; PCR8 is its signer\n", path);
  return 0;
}

}  // namespace

void add_image_sign(CommandLine& line, Command& image, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb(image, "sign", "Sign an image: who trusts the signer (PCR8) need not know each image")
      .text("FILE", options->file, "the image (.eif)", true)
      .text("--key", options->key, "the signer's private key (PEM; P-384, P-256 or P-521)", true)
      .text("--certificate", options->certificate, "its certificate (PEM)", true)
      .text("-o,--output", options->output, "write the signed image to this file, not over FILE")
      .flag("--replace", options->replace, "sign a signed image anew")
      .example("cloister image sign ocr.eif --key signer-key.pem --certificate signer.pem")
      .action([&context, options] { return sign(context, *options); });
}

}  // namespace cloister::cli
