// CMS EnvelopedData as AWS KMS answers with a Recipient (`CiphertextForRecipient`): RFC 5652, BER with
// indefinite lengths, one KeyTransRecipientInfo by subjectKeyIdentifier, RSAES-OAEP with SHA-256, AES-256-CBC
// content.
#pragma once

#include "crypto/keys.h"

namespace cloister::crypto {

inline constexpr std::size_t kMaxEnvelope = 16 * 1024;  // bytes

// The structure, unopened. What it points to lives in the object itself.
struct EnvelopedData {
  Bytes recipient_key_id;   // subjectKeyIdentifier
  Bytes encrypted_key;      // RSAES-OAEP ciphertext
  Bytes iv;                 // 16 bytes
  Bytes encrypted_content;  // AES-256-CBC, chunks joined

  // corrupt: any structure, algorithm or parameter but the one above; trailing bytes; a second recipient;
  // over kMaxEnvelope.
  static Result<EnvelopedData> parse(ByteView ber);
};

// Opens an envelope. Every failure after parsing looks the same (corrupt, "the envelope does not open"): no
// padding oracle.
Result<Secret> open_envelope(const EnvelopedData& envelope, const PrivateKey& rsa);

// Makes one the way KMS does, BER with indefinite lengths included (the embedded KMS uses it).
Result<Bytes> seal_envelope(const PublicKey& rsa, ByteView plaintext);

}  // namespace cloister::crypto
