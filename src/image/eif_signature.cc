// Source: README and eif_signer of the crate aws-nitro-enclaves-image-format 0.8.1. Its byte strings are
// arrays of integers, and its map keys stand in the order of its structures' fields.
#include "image/eif_signature.h"

#include "codec/cbor.h"
#include "image/eif_compose.h"

namespace cloister::image {

namespace {

using codec::CborMode;
using codec::CborReader;
using codec::CborWriter;

constexpr std::size_t kMaxPayload = 256;  // bytes; a PCR as an array has 129 at most
constexpr std::size_t kMaxStatement = kMaxPayload + codec::kMaxCoseProtected + codec::kMaxCoseSignature;
constexpr std::uint64_t kMaxByte = 255;
constexpr std::uint64_t kSignedRegister = 0;

constexpr const char* kCertificateKey = "signing_certificate";
constexpr const char* kStatementKey = "signature";
constexpr const char* kIndexKey = "register_index";
constexpr const char* kValueKey = "register_value";

Result<Bytes> read_integers(CborReader& reader, std::size_t max) {
  Bytes out;
  auto array = TRY(reader.array(max));
  while (TRY(array.more())) out.push_back(static_cast<std::uint8_t>(TRY(reader.uint(kMaxByte))));
  TRY(array.finish());
  return out;
}

void write_integers(CborWriter& writer, ByteView bytes) {
  writer.array(bytes.size());
  for (auto byte : bytes) writer.uint(byte);
}

Bytes encode_payload(const attestation::Pcr& pcr0) {
  CborWriter writer;
  writer.map(2).text(kIndexKey).uint(kSignedRegister).text(kValueKey);
  write_integers(writer, pcr0);
  return std::move(writer).take();
}

Result<attestation::Pcr> parse_payload(ByteView payload) {
  CborReader reader(payload, CborMode::lenient);
  auto map = TRY(reader.map(2));
  TRY(map.expect_key(kIndexKey));
  if (TRY(reader.uint()) != kSignedRegister) return fail(ErrorKind::corrupt, "it is not about PCR0");
  TRY(map.expect_key(kValueKey));
  auto pcr = TRY(read_integers(reader, attestation::kPcrSize));
  TRY(map.finish());
  TRY(reader.finish());
  return pcr;
}

// The first certificate, as OpenSSL's reader, and so the reference, takes it.
Result<crypto::Certificate> parse_certificate(ByteView pem) {
  auto certificates = TRY(crypto::Certificate::list_from_pem(pem));
  return std::move(certificates.front());
}

Result<EifSignature> parse(ByteView section) {
  CborReader reader(section, CborMode::lenient);
  auto array = TRY(reader.array_of(1));
  auto map = TRY(reader.map(2));
  TRY(map.expect_key(kCertificateKey));
  auto pem = TRY(read_integers(reader, kMaxSignatureSection));
  TRY(map.expect_key(kStatementKey));
  auto statement = TRY(read_integers(reader, kMaxStatement));
  TRY(map.finish());
  TRY(array.finish());
  TRY(reader.finish());
  auto certificate = TRY(parse_certificate(pem));
  auto parsed = TRY(codec::CoseSign1::parse(statement, kMaxPayload));
  return EifSignature{std::move(certificate), std::move(parsed)};
}

// RFC 9053 table 1: the algorithm that goes with the key.
Result<std::int64_t> algorithm_of(const crypto::PublicKey& key) {
  switch (key.type()) {
    case crypto::KeyType::p256:
      return codec::kCoseEs256;
    case crypto::KeyType::p384:
      return codec::kCoseEs384;
    case crypto::KeyType::p521:
      return codec::kCoseEs512;
    default:
      return fail(ErrorKind::invalid, "a key that signs no images: P-256, P-384 and P-521 do");
  }
}

Status verify(const EifSignature& signature, const attestation::Pcr& pcr0) {
  auto key = TRY(signature.certificate.public_key());
  auto expected = TRY(algorithm_of(key));
  if (TRY(signature.statement.algorithm()) != expected)
    return fail(ErrorKind::denied, "its algorithm is not that of the certificate's key");
  TRY(key.verify(signature.statement.signed_bytes(), signature.statement.signature));
  auto stated = TRY(parse_payload(signature.statement.payload));
  if (stated != pcr0) return fail(ErrorKind::denied, "made for another image, of PCR0 {}", to_hex(stated));
  return {};
}

Result<EifSignature> make_signature(const Signer& signer, const attestation::Pcr& pcr0) {
  auto own = signer.key.public_key();
  auto certified = TRY(signer.certificate.public_key());
  if (own.spki() != certified.spki()) return fail(ErrorKind::invalid, "the key is not the certificate's");
  auto algorithm = TRY(algorithm_of(own));
  EifSignature out{signer.certificate, {}};
  out.statement.protected_headers = codec::encode_cose_algorithm(algorithm);
  out.statement.payload = encode_payload(pcr0);
  out.statement.signature = TRY(signer.key.sign(out.statement.signed_bytes()));
  return out;
}

std::vector<SectionSource> unsigned_sources(const Eif& image) {
  std::vector<SectionSource> sources;
  for (const auto& section : image.sections()) {
    if (section.type == SectionType::signature) continue;
    sources.push_back(
        {.type = section.type, .size = section.size, .produce = [&](const SectionSource::Take& take) {
           return image.stream(section, take);
         }});
  }
  return sources;
}

}  // namespace

Result<EifSignature> parse_signature(ByteView section) {
  auto parsed = parse(section);
  if (!parsed) return fail(ErrorKind::corrupt, "signature section: {}", parsed.error().message());
  return parsed;
}

Bytes encode_signature(const EifSignature& signature) {
  CborWriter writer;
  writer.array(1).map(2).text(kCertificateKey);
  write_integers(writer, as_bytes(signature.certificate.pem()));
  writer.text(kStatementKey);
  write_integers(writer, signature.statement.encode());
  return std::move(writer).take();
}

Result<std::optional<EifSignature>> read_signature(const Eif& image) {
  const auto* section = image.signature_section();
  if (section == nullptr) return std::nullopt;
  auto bytes = TRY(image.read(*section, kMaxSignatureSection));
  return TRY(parse_signature(bytes).context(image.path()));
}

Status verify_signature(const EifSignature& signature, const attestation::Pcr& pcr0) {
  auto verified = verify(signature, pcr0);
  if (!verified) return fail(ErrorKind::denied, "{}", verified.error().message());
  return {};
}

Status check_validity(const crypto::Certificate& certificate, sys::UnixMillis at) {
  if (at < certificate.not_before()) return fail(ErrorKind::denied, "the certificate is not valid yet");
  if (at > certificate.not_after()) return fail(ErrorKind::denied, "the certificate has expired");
  return {};
}

Status sign_eif(const Eif& image, const std::string& path, const Signer& signer, bool replace,
                sys::UnixMillis now) {
  if (image.signature_section() != nullptr && !replace)
    return fail(ErrorKind::denied, "{} is signed already", image.path());
  TRY(check_validity(signer.certificate, now));
  auto pcr0 = TRY(measure_pcr0(image));
  auto signature = TRY(make_signature(signer, pcr0));
  TRY(verify_signature(signature, pcr0));
  auto section = encode_signature(signature);
  auto sources = unsigned_sources(image);
  sources.push_back(source_of(SectionType::signature, section));
  return compose_eif(path,
                     {.architecture = image.architecture(),
                      .default_memory = image.default_memory(),
                      .default_cpus = image.default_cpus()},
                     sources);
}

}  // namespace cloister::image
