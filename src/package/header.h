// The header of an encrypted package: who made it, under which key, and what it asks for.
// docs/formats/package.md is its specification. Parsing is strict: one encoding for each header, unknown keys
// refused. A parsed header is well-formed, not yet trusted: verify_signature() proves that it is whole, and
// the signer must be one that the caller knows.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "crypto/digest.h"
#include "crypto/keys.h"
#include "package/manifest.h"

namespace cloister::package {

using crypto::Sha256;

inline constexpr ByteArray<8> kMagic = {0x8c, 'C', 'L', 'S', 'T', 'R', '\r', '\n'};
inline constexpr std::uint64_t kFormatVersion = 1;
inline constexpr std::size_t kMaxHeader = 64 * 1024;  // bytes, encoded
inline constexpr std::size_t kMaxLabel = 64;          // bytes of name and of release
inline constexpr std::size_t kMaxKeyArn = 256;        // bytes
inline constexpr std::size_t kMaxWrappedKeys = 4;
inline constexpr std::size_t kMaxWrappedKey = 6144;  // bytes (KMS CiphertextBlob)
inline constexpr std::size_t kMaxExtraContext = 8;   // entries
inline constexpr std::size_t kMaxContextKey = 128;   // bytes
inline constexpr std::size_t kMaxContextValue = 512;
inline constexpr std::string_view kSignatureDomain = "cloister/package/v1";
inline constexpr std::string_view kContextPrefix = "cloister:";  // reserved, in any case of letters
inline constexpr std::string_view kNoManifest = "none";          // the value of cloister:manifest

using EncryptionContext = std::map<std::string, std::string>;

// Which application this is: what key policies and data packages name.
struct Identity {
  Sha256 signer{};  // fingerprint: SHA-256 of the signer's SPKI
  std::string name;
  std::string release;
  bool operator==(const Identity&) const = default;
};

struct Header {
  std::string name;                 // [A-Za-z0-9._-], 1 to kMaxLabel
  std::string release;              // the same
  std::string key_arn;              // full ARN of the KMS key, never an alias
  std::vector<Bytes> wrapped_keys;  // the data key as KMS wrapped it; version 1 uses the first
  EncryptionContext extra_context;  // the owner's own entries, beside the four of encryption_context()
  Sha256 commitment{};              // to the data key: keys.h
  PublicManifest public_manifest;
  std::optional<Sha256> manifest_digest;  // SHA-256 of the private manifest; nullopt: the package has none
  ByteArray<32> signer_key{};             // Ed25519
  ByteArray<64> signature{};

  // The canonical CBOR map, without magic and length.
  Bytes encode() const;
  // corrupt: anything but the canonical encoding of a header that passes check().
  static Result<Header> parse(ByteView cbor);
  // invalid: a field out of its bounds or against another.
  Status check() const;

  // What the signature covers: domain ‖ 0x00 ‖ magic ‖ canonical header without the signature.
  Bytes signed_bytes() const;
  // Sets signer_key and signature. The key is Ed25519.
  Status sign(const crypto::PrivateKey& signer);
  // denied: not signed by signer_key.
  Status verify_signature() const;

  Sha256 signer_fingerprint() const;
  Identity identity() const { return {signer_fingerprint(), name, release}; }
  // cloister:signer, cloister:name, cloister:release, cloister:manifest, and the extra entries: what KMS is
  // asked with.
  EncryptionContext encryption_context() const;
};

// invalid: not 1 to kMaxLabel of [A-Za-z0-9._-]. `what` names it in the error.
Status check_label(std::string_view label, std::string_view what);
// invalid: entries that are reserved, ambiguous, not printable ASCII or too many.
Status check_extra_context(const EncryptionContext& extra);
// invalid: not of the shape arn:PARTITION:kms:REGION:ACCOUNT:key/ID. Loose: whoever asks KMS checks region
// and partition.
Status check_key_arn(std::string_view arn);

}  // namespace cloister::package
