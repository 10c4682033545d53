// AWS Nitro attestation documents: COSE_Sign1 (RFC 9052) with ES384 over a CBOR map, as the AWS Nitro
// Enclaves NSM API guide ("Attestation document specification") describes it. Parsing and verification are
// strict and separate.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "crypto/x509.h"

namespace cloister::attestation {

// Limits of the AWS specification, in bytes.
inline constexpr std::size_t kMaxDocument = 16 * 1024;
inline constexpr std::size_t kMaxUserData = 512;
inline constexpr std::size_t kMaxNonce = 512;
inline constexpr std::size_t kMaxPublicKey = 1024;
inline constexpr std::size_t kMaxPcrs = 32;
inline constexpr std::size_t kMaxModuleId = 256;
inline constexpr std::size_t kMaxDocumentCertificate = 1024;
inline constexpr std::size_t kMaxCaBundle = crypto::kMaxChain - 1;  // certificates

using Pcr = Bytes;  // 32, 48 or 64 bytes; Nitro uses 48

struct Document {
  std::string module_id;
  std::string digest;               // "SHA384"
  sys::UnixMillis timestamp = 0;    // milliseconds since 1970
  std::map<unsigned, Pcr> pcrs;     // index 0..31
  Bytes certificate;                // DER, the signing key's
  std::vector<Bytes> cabundle;      // DER, root first
  std::optional<Bytes> public_key;  // DER SubjectPublicKeyInfo as a rule
  std::optional<Bytes> user_data;
  std::optional<Bytes> nonce;

  bool debug_mode() const;  // PCR0, 1 and 2 are all zero, or missing
};

// A parsed but unverified document: the payload, and the bytes that the signature covers.
struct SignedDocument {
  Document document;
  Bytes signed_bytes;  // COSE Sig_structure
  Bytes signature;     // r‖s, 96 bytes

  // Accepts tagged (18) and untagged COSE_Sign1, definite and indefinite lengths. corrupt: anything outside
  // the specification, duplicate or unknown map keys, trailing bytes, an algorithm other than ES384,
  // unprotected headers that are not empty.
  static Result<SignedDocument> parse(ByteView cbor);
};

// Signature, chain to `root` at `at`, leaf P-384. denied: any doubt. The chain is checked at `at`, never at
// the document's own word unless the caller passes that.
Result<Document> verify(ByteView cbor, const crypto::Certificate& root, sys::UnixMillis at);

// COSE/CBOR encoding, for the emulated NSM: the payload map, and the signed message around it.
Bytes encode_payload(const Document& document);
Result<Bytes> sign_document(const Document& document, const crypto::PrivateKey& p384);

// The AWS Nitro Enclaves root certificate G1 (published by AWS; SHA-256 641A0321…BB5B).
crypto::Certificate aws_nitro_root();

}  // namespace cloister::attestation
