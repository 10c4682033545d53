#include "emulator/recipient.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "attestation/document.h"
#include "crypto/cms.h"
#include "emulator/api.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kAlgorithms[] = {"RSAES_OAEP_SHA_256"};

Outcome<attestation::Document> verify_any(const Bytes& cbor, const Call& call) {
  std::string why = "no attestation root is trusted";
  for (const auto& root : call.roots.current()) {
    auto document = attestation::verify(cbor, root, call.now);
    if (document) return *std::move(document);
    why = document.error().message();
  }
  return fault("ValidationException", "The attestation document is not valid: {}", why);
}

Outcome<void> check_age(const attestation::Document& document, sys::UnixMillis now) {
  // Compared without subtracting: the timestamp is the document's, any 64 bits.
  if (document.timestamp < now - kMaxAttestationAge) {
    return fault("ValidationException", "The attestation document is expired");
  }
  if (document.timestamp > now + kMaxAttestationAge) {
    return fault("ValidationException", "The attestation document is not yet valid");
  }
  return {};
}

Outcome<crypto::PublicKey> recipient_key(const attestation::Document& document) {
  if (!document.public_key)
    return fault("ValidationException", "The attestation document holds no public key");
  auto key = crypto::PublicKey::from_spki(*document.public_key);
  if (!key || key->type() != crypto::KeyType::rsa2048) {
    return fault("ValidationException",
                 "The public key of the attestation document is not an RSA key of 2048 bits or more");
  }
  return *std::move(key);
}

void describe(const attestation::Document& document, iam::RequestContext& context) {
  auto set = [&](const std::string& key, const attestation::Pcr& pcr) {
    bool zero = std::all_of(pcr.begin(), pcr.end(), [](auto byte) { return byte == 0; });
    if (zero)
      context.set_unproven(key, to_hex(pcr));
    else
      context.set(key, to_hex(pcr));
  };
  for (const auto& [index, pcr] : document.pcrs) {
    set(fmt::format("kms:RecipientAttestation:PCR{}", index), pcr);
    if (index == 0) set("kms:RecipientAttestation:ImageSha384", pcr);
  }
}

}  // namespace

Outcome<std::optional<Recipient>> Recipient::from(Call& call) {
  auto member = TRY(call.parameters.object("Recipient"));
  if (!member) return std::optional<Recipient>();
  if (!TRY(member->choice("KeyEncryptionAlgorithm", kAlgorithms)))
    return invalid_member("recipient.keyEncryptionAlgorithm", "Member must not be null");
  auto cbor = TRY(member->required_blob("AttestationDocument", 1, attestation::kMaxDocument));
  auto document = TRY(verify_any(cbor, call));
  TRY(check_age(document, call.now));
  auto key = TRY(recipient_key(document));
  describe(document, call.context);
  return std::optional(Recipient(std::move(key)));
}

Outcome<Bytes> Recipient::seal(ByteView plaintext) const {
  return TRY(crypto::seal_envelope(key_, plaintext));
}

}  // namespace cloister::emulator
