#include "attestation/document.h"

#include <algorithm>
#include <limits>

#include "codec/cbor.h"
#include "codec/cose.h"

namespace cloister::attestation {

namespace {

using codec::CborReader;
using codec::CborWriter;

constexpr std::size_t kMandatoryFields = 6;
constexpr std::size_t kAllFields = 9;
constexpr std::size_t kMaxFieldName = 16;       // bytes
constexpr std::size_t kMaxPcrSize = 64;         // bytes
constexpr std::size_t kP384SignatureSize = 96;  // bytes, r‖s
constexpr std::string_view kDigest = "SHA384";

Result<sys::UnixMillis> read_timestamp(CborReader& reader) {
  auto timestamp = TRY(reader.integer(1));
  return timestamp;
}

Result<std::string> read_digest(CborReader& reader) {
  auto digest = TRY(reader.text(kDigest.size()));
  if (digest != kDigest) return fail(ErrorKind::corrupt, "digest: not {}", kDigest);
  return digest;
}

Result<std::map<unsigned, Pcr>> read_pcrs(CborReader& reader) {
  std::map<unsigned, Pcr> pcrs;
  auto map = TRY(reader.map(kMaxPcrs));
  while (TRY(map.more())) {
    auto index = static_cast<unsigned>(TRY(reader.uint(kMaxPcrs - 1)));
    auto value = TRY(reader.bytes(kMaxPcrSize));
    // The specification allows the sizes of three digests, and only one digest.
    if (value.size() != kPcrSize)
      return fail(ErrorKind::corrupt, "PCR{}: {} bytes, {} has {}", index, value.size(), kDigest, kPcrSize);
    pcrs.emplace(index, std::move(value));
  }
  TRY(map.finish());
  if (pcrs.empty()) return fail(ErrorKind::corrupt, "pcrs: empty");
  return pcrs;
}

Result<std::vector<Bytes>> read_cabundle(CborReader& reader) {
  std::vector<Bytes> bundle;
  auto array = TRY(reader.array(kMaxCaBundle));
  while (TRY(array.more())) bundle.push_back(TRY(reader.bytes(kMaxDocumentCertificate, 1)));
  TRY(array.finish());
  if (bundle.empty()) return fail(ErrorKind::corrupt, "cabundle: empty");
  return bundle;
}

// Absent and null are the same.
Result<std::optional<Bytes>> read_optional(CborReader& reader, std::size_t max, std::size_t min) {
  if (TRY(reader.optional_null())) return std::nullopt;
  return TRY(reader.bytes(max, min));
}

// One entry of the payload; whether it is a mandatory one.
Result<bool> read_field(CborReader& reader, const std::string& name, Document& out) {
  if (name == "module_id") {
    out.module_id = TRY(reader.text(kMaxModuleId, 1));
  } else if (name == "digest") {
    out.digest = TRY(read_digest(reader));
  } else if (name == "timestamp") {
    out.timestamp = TRY(read_timestamp(reader));
  } else if (name == "pcrs") {
    out.pcrs = TRY(read_pcrs(reader));
  } else if (name == "certificate") {
    out.certificate = TRY(reader.bytes(kMaxDocumentCertificate, 1));
  } else if (name == "cabundle") {
    out.cabundle = TRY(read_cabundle(reader));
  } else if (name == "public_key") {
    out.public_key = TRY(read_optional(reader, kMaxPublicKey, 1));
    return false;
  } else if (name == "user_data") {
    out.user_data = TRY(read_optional(reader, kMaxUserData, 0));
    return false;
  } else if (name == "nonce") {
    out.nonce = TRY(read_optional(reader, kMaxNonce, 0));
    return false;
  } else {
    return fail(ErrorKind::corrupt, "an unknown field");
  }
  return true;
}

// The reader refuses a field that stands twice, so that six mandatory ones are all of them.
Result<Document> parse_payload(ByteView payload) {
  Document document;
  std::size_t mandatory = 0;
  CborReader reader(payload, codec::CborMode::lenient);
  auto map = TRY(reader.map(kAllFields));
  while (TRY(map.more())) {
    auto name = TRY(reader.text(kMaxFieldName));
    if (TRY(read_field(reader, name, document))) ++mandatory;
  }
  TRY(map.finish());
  TRY(reader.finish());
  if (mandatory != kMandatoryFields) return fail(ErrorKind::corrupt, "a mandatory field is missing");
  return document;
}

Result<codec::CoseSign1> parse_message(ByteView cbor) {
  if (cbor.size() > kMaxDocument) return fail(ErrorKind::corrupt, "larger than {} bytes", kMaxDocument);
  return codec::CoseSign1::parse(cbor, kMaxDocument);
}

Result<SignedDocument> parse_signed(ByteView cbor) {
  auto message = TRY(parse_message(cbor));
  if (TRY(message.algorithm()) != codec::kCoseEs384)
    return fail(ErrorKind::corrupt, "the algorithm is not ES384");
  if (message.signature.size() != kP384SignatureSize) {
    return fail(ErrorKind::corrupt, "a signature of {} bytes, r and s have {}", message.signature.size(),
                kP384SignatureSize);
  }
  auto document = TRY(parse_payload(message.payload));
  return SignedDocument{.document = std::move(document),
                        .signed_bytes = message.signed_bytes(),
                        .signature = std::move(message.signature)};
}

Result<sys::UnixMillis> parse_time(ByteView cbor) {
  auto message = TRY(parse_message(cbor));
  auto document = TRY(parse_payload(message.payload));
  return document.timestamp;
}

void write_optional(CborWriter& writer, std::string_view name, const std::optional<Bytes>& value) {
  writer.text(name);
  if (value) {
    writer.bytes(*value);
  } else {
    writer.null();
  }
}

}  // namespace

bool all_zero(ByteView pcr) {
  return std::ranges::all_of(pcr, [](std::uint8_t byte) { return byte == 0; });
}

bool Document::debug_mode() const {
  return std::ranges::all_of(std::array{0U, 1U, 2U}, [this](unsigned index) {
    auto found = pcrs.find(index);
    return found == pcrs.end() || all_zero(found->second);
  });
}

Result<SignedDocument> SignedDocument::parse(ByteView cbor) {
  return parse_signed(cbor).context("attestation document");
}

Result<sys::UnixMillis> time_of_own_module(ByteView cbor) {
  return parse_time(cbor).context("attestation document");
}

// In the order and with the explicit nulls of real documents.
Bytes encode_payload(const Document& document) {
  CborWriter writer;
  writer.map(kAllFields);
  writer.text("module_id").text(document.module_id);
  writer.text("digest").text(document.digest);
  writer.text("timestamp").uint(static_cast<std::uint64_t>(document.timestamp));
  writer.text("pcrs").map(document.pcrs.size());
  for (const auto& [index, value] : document.pcrs) writer.uint(index).bytes(value);
  writer.text("certificate").bytes(document.certificate);
  writer.text("cabundle").array(document.cabundle.size());
  for (const auto& certificate : document.cabundle) writer.bytes(certificate);
  write_optional(writer, "public_key", document.public_key);
  write_optional(writer, "user_data", document.user_data);
  write_optional(writer, "nonce", document.nonce);
  return std::move(writer).take();
}

Result<Bytes> sign_document(const Document& document, const crypto::PrivateKey& p384) {
  if (p384.type() != crypto::KeyType::p384)
    return fail(ErrorKind::invalid, "attestation document: the key is not P-384");
  codec::CoseSign1 message{.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs384),
                           .payload = encode_payload(document),
                           .signature = {}};
  message.signature = TRY(p384.sign(message.signed_bytes()).context("attestation document"));
  return message.encode();
}

}  // namespace cloister::attestation
