// Messages that carry data: GenerateDataKey, Decrypt, Encrypt.
#include "kms/json_object.h"

namespace cloister::kms {

namespace {

constexpr Length kKeyId{1, kMaxKeyIdBytes};
constexpr Length kCiphertext{1, kMaxCiphertextBytes};
constexpr Length kName{1, 64};
constexpr unsigned kMaxDataKeyBytes = 1024;
constexpr unsigned kNoNumber = 0;

// Exactly one of KeySpec and NumberOfBytes.
Result<unsigned> data_key_bytes(const ObjectReader& in) {
  auto spec = TRY(in.text_or("KeySpec", kName, ""));
  auto number = TRY(in.number_or("NumberOfBytes", 1, kMaxDataKeyBytes, kNoNumber));
  if (spec.empty() == (number == kNoNumber))
    return in.refuse("exactly one of KeySpec and NumberOfBytes is wanted");
  if (spec.empty()) return number;
  if (spec == "AES_256") return 32U;
  if (spec == "AES_128") return 16U;
  return in.refuse("unknown KeySpec");
}

}  // namespace

JsonString GenerateDataKeyRequest::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).context(context).recipient(recipient);
  return bytes == 32 ? out.text("KeySpec", "AES_256").encode() : out.value("NumberOfBytes", bytes).encode();
}

Result<GenerateDataKeyRequest> GenerateDataKeyRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  GenerateDataKeyRequest out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.context = TRY(in.context());
  out.bytes = TRY(data_key_bytes(in));
  out.recipient = TRY(in.recipient());
  return out;
}

JsonString GenerateDataKeyResponse::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).blob("CiphertextBlob", ciphertext);
  out.blob_unless_empty("Plaintext", plaintext.view());
  return out.blob_unless_empty("CiphertextForRecipient", ciphertext_for_recipient).encode();
}

Result<GenerateDataKeyResponse> GenerateDataKeyResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  GenerateDataKeyResponse out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.ciphertext = TRY(in.blob("CiphertextBlob", kCiphertext));
  out.plaintext = Secret(TRY(in.blob_or_empty("Plaintext", kMaxPlaintextBytes)));
  out.ciphertext_for_recipient = TRY(in.blob_or_empty("CiphertextForRecipient", kMaxCiphertextBytes));
  return out;
}

JsonString DecryptRequest::encode() const {
  ObjectWriter out;
  out.text_unless_empty("KeyId", key_id).blob("CiphertextBlob", ciphertext).context(context);
  if (dry_run) out.value("DryRun", true);
  return out.text("EncryptionAlgorithm", algorithm).recipient(recipient).encode();
}

Result<DecryptRequest> DecryptRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  DecryptRequest out;
  out.key_id = TRY(in.text_or("KeyId", kKeyId, ""));
  out.ciphertext = TRY(in.blob("CiphertextBlob", kCiphertext));
  out.context = TRY(in.context());
  out.algorithm = TRY(in.text_or("EncryptionAlgorithm", kName, kSymmetric));
  out.recipient = TRY(in.recipient());
  return out;
}

JsonString DecryptResponse::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).text("EncryptionAlgorithm", kSymmetric);
  out.blob_unless_empty("Plaintext", plaintext.view());
  return out.blob_unless_empty("CiphertextForRecipient", ciphertext_for_recipient).encode();
}

Result<DecryptResponse> DecryptResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  DecryptResponse out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.plaintext = Secret(TRY(in.blob_or_empty("Plaintext", kMaxPlaintextBytes)));
  out.ciphertext_for_recipient = TRY(in.blob_or_empty("CiphertextForRecipient", kMaxCiphertextBytes));
  return out;
}

JsonString EncryptRequest::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).blob("Plaintext", plaintext.view()).context(context);
  return out.text("EncryptionAlgorithm", algorithm).encode();
}

Result<EncryptRequest> EncryptRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  EncryptRequest out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.plaintext = Secret(TRY(in.blob("Plaintext", {1, kMaxPlaintextBytes})));
  out.context = TRY(in.context());
  out.algorithm = TRY(in.text_or("EncryptionAlgorithm", kName, kSymmetric));
  return out;
}

JsonString EncryptResponse::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).blob("CiphertextBlob", ciphertext);
  return out.text("EncryptionAlgorithm", kSymmetric).encode();
}

Result<EncryptResponse> EncryptResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  EncryptResponse out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.ciphertext = TRY(in.blob("CiphertextBlob", kCiphertext));
  return out;
}

}  // namespace cloister::kms
