// Asymmetric keys: Ed25519 (package signatures, client keys), P-256 (TLS), P-384 (attestation), P-521
// (signatures of images), RSA-2048 (KMS recipient), X25519 (sealed boxes). A PrivateKey wipes itself through
// OpenSSL and cannot be printed.
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/digest.h"

namespace cloister::crypto {

enum class KeyType { ed25519, p256, p384, p521, rsa2048, x25519 };

class PublicKey {
 public:
  // DER SubjectPublicKeyInfo (RFC 5280). Refuses types not listed above; RSA of 2048 to 4096 bits.
  static Result<PublicKey> from_spki(ByteView der);
  // 32 raw bytes (RFC 8032, RFC 7748).
  static Result<PublicKey> from_raw_ed25519(ByteView raw);
  static Result<PublicKey> from_raw_x25519(ByteView raw);

  KeyType type() const;
  Bytes spki() const;
  Result<Bytes> raw() const;  // ed25519, x25519
  // SHA-256 over the SPKI: how keys are named in this project.
  Sha256 fingerprint() const;

  // Ed25519 over the message, or raw r‖s ECDSA (as COSE carries it, RFC 9053) over its digest. denied: does
  // not verify.
  Status verify(ByteView message, ByteView signature) const;
  // RSAES-OAEP with SHA-256 for both hash and MGF1 (RFC 8017): what KMS calls RSAES_OAEP_SHA_256.
  Result<Bytes> oaep_encrypt(ByteView plaintext) const;

  void* handle() const { return key_.get(); }  // EVP_PKEY*, for this room
  explicit PublicKey(std::shared_ptr<void> key) : key_(std::move(key)) {}

 private:
  std::shared_ptr<void> key_;
};

class PrivateKey {
 public:
  static Result<PrivateKey> generate(KeyType type);
  // PKCS#8 PEM, unencrypted. The caller wipes what it read from disk.
  static Result<PrivateKey> from_pem(ByteView pem);
  // The same, or what `openssl ecparam -genkey` writes: EC PARAMETERS, which are passed over, and an EC
  // PRIVATE KEY (RFC 5915). For keys that people bring along; ours are PKCS#8.
  static Result<PrivateKey> from_foreign_pem(ByteView pem);
  Secret to_pem() const;

  KeyType type() const;
  PublicKey public_key() const;
  // The counterpart of PublicKey::verify: ECDSA gives r‖s with SHA-256 for P-256, SHA-384 for P-384
  // and SHA-512 for P-521.
  Result<Bytes> sign(ByteView message) const;

  void* handle() const { return key_.get(); }  // EVP_PKEY*, for this room
  explicit PrivateKey(std::shared_ptr<void> key) : key_(std::move(key)) {}

 private:
  std::shared_ptr<void> key_;
};

inline constexpr std::size_t kMaxSealed = 16 * 1024 * 1024;  // bytes

// HPKE (RFC 9180), base mode, single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. The box
// is enc (32) ‖ ciphertext ‖ tag (16). `info` separates purposes. corrupt: another key, another purpose or
// another byte; which one does not show.
Result<Bytes> seal_to(const PublicKey& x25519, std::string_view info, ByteView plaintext);
Result<Bytes> open_sealed(const PrivateKey& x25519, std::string_view info, ByteView sealed,
                          ByteView associated = {});

}  // namespace cloister::crypto
