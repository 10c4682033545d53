// Recipient: the attestation document of a request, verified, and the envelope that only its enclave can open
// ("How AWS Nitro Enclaves uses AWS KMS" of the KMS developer guide).
#pragma once

#include <optional>

#include "crypto/keys.h"
#include "emulator/call.h"

namespace cloister::emulator {

class Recipient {
 public:
  // The member Recipient, if there is one. Sets the condition keys kms:RecipientAttestation:*; those of PCRs
  // that are all zero (debug mode) as unproven, so that they open nothing. ValidationException: a document
  // that does not verify.
  static Outcome<std::optional<Recipient>> from(Call& call);

  // CiphertextForRecipient.
  Outcome<Bytes> seal(ByteView plaintext) const;

 private:
  explicit Recipient(crypto::PublicKey key) : key_(std::move(key)) {}
  crypto::PublicKey key_;
};

}  // namespace cloister::emulator
