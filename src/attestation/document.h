// AWS Nitro attestation documents: COSE_Sign1 (RFC 9052 section 4.2) with ES384 (RFC 9053 section 2.1) over a
// CBOR map (RFC 8949). Source: aws-nitro-enclaves-nsm-api, docs/attestation_process.md, sections 2.2 and 3.
// Parsing and verification are strict and separate: docs/verify.md lists what is refused.
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

inline constexpr std::size_t kPcrSize = 48;  // bytes: SHA-384

using Pcr = Bytes;  // kPcrSize bytes

bool all_zero(ByteView pcr);  // measures nothing: a register of an enclave in debug mode, or an unused one

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
  // the specification, duplicate or unknown map keys, integers not in their shortest form, trailing bytes, an
  // algorithm other than ES384 or one that is not protected, unprotected headers that are not empty.
  static Result<SignedDocument> parse(ByteView cbor);
};

// When a document was made that came straight from this machine's own security module. No signature vouches
// for it, nor could one: the module is believed as the hypervisor is, and what it signs with is for those who
// verify. Of no use for a document from anywhere else. corrupt: not a COSE_Sign1, or not a payload that
// SignedDocument::parse accepts.
Result<sys::UnixMillis> time_of_own_module(ByteView cbor);

// Signature, and chain to `root` at `at` (crypto::verify_chain). The chain is checked at `at`, never at the
// document's own word unless the caller passes that: how old a document may be is the caller's business, and
// so is what it measures (Measurements::check, or judge()). The bundle has to begin with `root`, byte by
// byte. corrupt: not a document. denied: any doubt about who made it. Thread-safe.
Result<Document> verify(ByteView cbor, const crypto::Certificate& root, sys::UnixMillis at);

// COSE/CBOR encoding, for the emulated NSM: the payload map, and the signed message around it.
Bytes encode_payload(const Document& document);
Result<Bytes> sign_document(const Document& document, const crypto::PrivateKey& p384);

// The AWS Nitro Enclaves root certificate G1 (published by AWS; SHA-256 641A0321…BB5B).
crypto::Certificate aws_nitro_root();

}  // namespace cloister::attestation
