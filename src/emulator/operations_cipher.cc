// Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.
#include <nlohmann/json.hpp>

#include "codec/base64.h"
#include "crypto/digest.h"
#include "emulator/call.h"
#include "emulator/ciphertext.h"
#include "emulator/recipient.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr std::string_view kAlgorithm = "SYMMETRIC_DEFAULT";

constexpr std::string_view kAlgorithms[] = {kAlgorithm, "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"};
constexpr std::string_view kDataKeySpecs[] = {"AES_256", "AES_128"};

// The members that ReEncrypt has twice.
struct ContextMembers {
  const char* context = "EncryptionContext";
  const char* algorithm = "EncryptionAlgorithm";
};

// EncryptionContext and EncryptionAlgorithm, and their condition keys.
Outcome<EncryptionContext> read_context(Call& call, const ContextMembers& members = {}) {
  auto algorithm = TRY(call.parameters.choice(members.algorithm, kAlgorithms));
  if (algorithm && *algorithm != kAlgorithm) {
    return fault("InvalidKeyUsageException", "Algorithm {} is incompatible with key spec SYMMETRIC_DEFAULT.",
                 *algorithm);
  }
  call.context.set("kms:EncryptionAlgorithm", std::string(kAlgorithm));
  auto context = TRY(call.parameters.encryption_context(members.context));
  std::vector<std::string> names;
  for (const auto& [name, value] : context) {
    call.context.set(fmt::format("kms:EncryptionContext:{}", name), value);
    names.push_back(name);
  }
  call.context.set_list("kms:EncryptionContextKeys", std::move(names));
  return context;
}

Outcome<std::string> seal(Call& call, const KeyRecord& key, const EncryptionContext& context,
                          ByteView plaintext) {
  auto material = TRY(call.store.material(key.id, key.material_version));
  return codec::to_base64(TRY(seal_blob({key.id, key.material_version}, material, context, plaintext)));
}

// Plaintext for the caller, or CiphertextForRecipient for the enclave: never both.
Outcome<void> give_out(json& answer, const Secret& plaintext, const std::optional<Recipient>& recipient) {
  if (recipient)
    answer["CiphertextForRecipient"] = codec::to_base64(TRY(recipient->seal(plaintext.view())));
  else
    answer["Plaintext"] = codec::to_base64(plaintext.view());
  return {};
}

Outcome<json> encrypt(Call& call) {
  auto key = TRY(call.required_key_or_alias());
  TRY(call.refuse_grant_tokens());
  Secret plaintext(TRY(call.parameters.required_blob("Plaintext", 1, kMaxPlaintext)));
  auto context = TRY(read_context(call));
  TRY(call.require("Encrypt", key));
  TRY(call.require_enabled(key));
  TRY(call.stop_if_dry_run());
  return json{{"CiphertextBlob", TRY(seal(call, key, context, plaintext.view()))},
              {"KeyId", key.arn},
              {"EncryptionAlgorithm", kAlgorithm}};
}

// The key to ask the policies of: the one that the request names, else the one in the blob. Unknown keys look
// like forbidden ones.
Outcome<KeyRecord> decryption_key(Call& call, const BlobHead& head, const char* member) {
  if (auto name = TRY(call.parameters.text(member, 1, kMaxKeyIdLength))) return call.find_key_or_alias(*name);
  auto key = call.store.key(head.key_id);
  if (!key && key.error().kind() == ErrorKind::not_found) {
    return fault("AccessDeniedException",
                 "The ciphertext refers to a customer master key that does not exist, does not exist in this "
                 "region, or you are not allowed to access.");
  }
  return TRY(std::move(key));
}

Outcome<Secret> open(Call& call, const BlobHead& head, ByteView blob, const EncryptionContext& context) {
  auto material = call.store.material(head.key_id, head.material_version);
  if (!material && material.error().kind() != ErrorKind::not_found)
    return std::unexpected(Fault(material.error()));
  if (!material) return fault("InvalidCiphertextException", "");
  auto plaintext = open_blob(blob, *material, context);
  if (!plaintext) return fault("InvalidCiphertextException", "");
  return *std::move(plaintext);
}

struct Opened {
  KeyRecord key;
  BlobHead head;
  Secret plaintext;
};

// CiphertextBlob, opened with leave for `action`.
Outcome<Opened> open_request(Call& call, const char* key_member, std::string_view action,
                             const EncryptionContext& context) {
  auto blob = TRY(call.parameters.required_blob("CiphertextBlob", 1, kMaxCiphertext));
  auto head = read_blob_head(blob);
  if (!head) return fault("InvalidCiphertextException", "");
  auto key = TRY(decryption_key(call, *head, key_member));
  TRY(call.refuse_grant_tokens());
  TRY(call.require(action, key));
  if (key.id != head->key_id) {
    return fault("IncorrectKeyException",
                 "The key ID in the request does not identify a CMK that can perform this operation.");
  }
  TRY(Call::require_enabled(key));
  auto plaintext = TRY(open(call, *head, blob, context));
  return Opened{std::move(key), *std::move(head), std::move(plaintext)};
}

Outcome<json> decrypt(Call& call) {
  auto context = TRY(read_context(call));
  auto recipient = TRY(Recipient::from(call));
  auto opened = TRY(open_request(call, "KeyId", "Decrypt", context));
  TRY(call.stop_if_dry_run());
  json answer{{"KeyId", opened.key.arn},
              {"EncryptionAlgorithm", kAlgorithm},
              {"KeyMaterialId", material_id(opened.key.id, opened.head.material_version)}};
  TRY(give_out(answer, opened.plaintext, recipient));
  return answer;
}

// Each of the two keys has conditions of its own.
Outcome<json> re_encrypt(Call& call) {
  constexpr ContextMembers kSource{"SourceEncryptionContext", "SourceEncryptionAlgorithm"};
  constexpr ContextMembers kDestination{"DestinationEncryptionContext", "DestinationEncryptionAlgorithm"};
  const auto common = call.context;
  auto target_context = TRY(read_context(call, kDestination));
  auto target = TRY(call.required_key_or_alias("DestinationKeyId"));
  auto for_target = std::exchange(call.context, common);
  auto blob = TRY(call.parameters.required_blob("CiphertextBlob", 1, kMaxCiphertext));
  auto head = read_blob_head(blob);
  std::string same = head && head->key_id == target.id ? "true" : "false";
  call.context.set("kms:ReEncryptOnSameKey", same);
  for_target.set("kms:ReEncryptOnSameKey", same);
  auto source_context = TRY(read_context(call, kSource));
  auto opened = TRY(open_request(call, "SourceKeyId", "ReEncryptFrom", source_context));
  call.context = std::move(for_target);
  TRY(call.require("ReEncryptTo", target));
  TRY(Call::require_enabled(target));
  TRY(call.stop_if_dry_run());
  return json{{"CiphertextBlob", TRY(seal(call, target, target_context, opened.plaintext.view()))},
              {"SourceKeyId", opened.key.arn},
              {"KeyId", target.arn},
              {"SourceEncryptionAlgorithm", kAlgorithm},
              {"DestinationEncryptionAlgorithm", kAlgorithm},
              {"SourceKeyMaterialId", material_id(opened.key.id, opened.head.material_version)},
              {"DestinationKeyMaterialId", material_id(target.id, target.material_version)}};
}

// KeySpec or NumberOfBytes, exactly one.
Outcome<std::size_t> data_key_size(const Call& call) {
  auto spec = TRY(call.parameters.choice("KeySpec", kDataKeySpecs));
  auto count = TRY(call.parameters.integer("NumberOfBytes", 1, kMaxRandomBytes));
  if (spec.has_value() == count.has_value()) {
    return fault("ValidationException", "Please specify either number of bytes or key spec.");
  }
  if (count) return static_cast<std::size_t>(*count);
  return *spec == "AES_256" ? 32 : 16;
}

struct DataKey {
  Secret plaintext;
  json answer;
};

Outcome<DataKey> make_data_key(Call& call, std::string_view action) {
  auto key = TRY(call.required_key_or_alias());
  TRY(call.refuse_grant_tokens());
  auto size = TRY(data_key_size(call));
  auto context = TRY(read_context(call));
  TRY(call.require(action, key));
  TRY(call.require_enabled(key));
  TRY(call.stop_if_dry_run());
  auto plaintext = crypto::random_secret(size);
  json answer{{"CiphertextBlob", TRY(seal(call, key, context, plaintext.view()))},
              {"KeyId", key.arn},
              {"KeyMaterialId", material_id(key.id, key.material_version)}};
  return DataKey{std::move(plaintext), std::move(answer)};
}

Outcome<json> generate_data_key(Call& call) {
  auto recipient = TRY(Recipient::from(call));
  auto made = TRY(make_data_key(call, "GenerateDataKey"));
  TRY(give_out(made.answer, made.plaintext, recipient));
  return std::move(made.answer);
}

Outcome<json> generate_data_key_without_plaintext(Call& call) {
  return TRY(make_data_key(call, "GenerateDataKeyWithoutPlaintext")).answer;
}

Outcome<json> generate_random(Call& call) {
  auto recipient = TRY(Recipient::from(call));
  auto count = TRY(call.parameters.integer("NumberOfBytes", 1, kMaxRandomBytes));
  if (!count) return fault("ValidationException", "NumberOfBytes is required.");
  if (TRY(call.parameters.text("CustomKeyStoreId", 0, kMaxKeyIdLength))) {
    return fault("UnsupportedOperationException",
                 "GenerateRandom with CustomKeyStoreId is not supported by this service");
  }
  TRY(call.require_identity("GenerateRandom"));
  json answer = json::object();
  TRY(give_out(answer, crypto::random_secret(static_cast<std::size_t>(*count)), recipient));
  return answer;
}

constexpr OperationEntry kOperations[] = {
    {"Decrypt", decrypt},
    {"Encrypt", encrypt},
    {"GenerateDataKey", generate_data_key},
    {"GenerateDataKeyWithoutPlaintext", generate_data_key_without_plaintext},
    {"GenerateRandom", generate_random},
    {"ReEncrypt", re_encrypt},
};

}  // namespace

std::span<const OperationEntry> cipher_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
