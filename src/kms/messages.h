// The KMS operations as values, each with its JSON in both directions (AWS KMS API Reference, AWS JSON 1.1):
// a client encodes requests and parses answers, a server the other way round. Parsing is strict about types
// and lengths and ignores members it does not know. Errors of parsing: `invalid` for requests, `corrupt` for
// answers.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "http/json.h"

namespace cloister::kms {

// The service's own limits.
inline constexpr std::size_t kMaxKeyIdBytes = 2048;
inline constexpr std::size_t kMaxCiphertextBytes = 6144;
inline constexpr std::size_t kMaxPlaintextBytes = 4096;
inline constexpr std::size_t kMaxContextBytes = 8192;  // names and values of an encryption context together
inline constexpr std::size_t kMaxAttestationBytes = 16384;
inline constexpr std::size_t kMaxPolicyBytes = 32768;

inline constexpr std::string_view kContentType = "application/x-amz-json-1.1";
inline constexpr std::string_view kTargetPrefix = "TrentService.";  // of X-Amz-Target
inline constexpr std::string_view kRecipientAlgorithm = "RSAES_OAEP_SHA_256";
inline constexpr std::string_view kSymmetric = "SYMMETRIC_DEFAULT";
inline constexpr std::string_view kDefaultPolicyName = "default";

using http::JsonString;  // a wiping string

using EncryptionContext = std::map<std::string, std::string>;

// Asks for the answer under the public key of an attestation document instead of in the clear.
struct Recipient {
  std::string key_encryption_algorithm{kRecipientAlgorithm};
  Bytes attestation_document;
};

struct GenerateDataKeyRequest {
  std::string key_id;
  EncryptionContext context;
  unsigned bytes = 32;  // AES_256 and AES_128 are read as 32 and 16; 32 is written as AES_256
  std::optional<Recipient> recipient;
  JsonString encode() const;
  static Result<GenerateDataKeyRequest> parse(std::string_view body);
};
struct GenerateDataKeyResponse {
  std::string key_id;
  Bytes ciphertext;
  Secret plaintext;                // empty with a recipient
  Bytes ciphertext_for_recipient;  // empty without one
  JsonString encode() const;
  static Result<GenerateDataKeyResponse> parse(std::string_view body);
};

struct DecryptRequest {
  std::string key_id;  // empty: absent, the ciphertext says
  Bytes ciphertext;
  EncryptionContext context;
  std::string algorithm{kSymmetric};
  std::optional<Recipient> recipient;
  bool dry_run = false;  // asks whether it would be allowed; written only. A server has its own way to it
  JsonString encode() const;
  static Result<DecryptRequest> parse(std::string_view body);
};
struct DecryptResponse {
  std::string key_id;
  Secret plaintext;                // empty: absent, null or ""
  Bytes ciphertext_for_recipient;  // likewise
  JsonString encode() const;
  static Result<DecryptResponse> parse(std::string_view body);
};

struct EncryptRequest {
  std::string key_id;
  Secret plaintext;
  EncryptionContext context;
  std::string algorithm{kSymmetric};
  JsonString encode() const;
  static Result<EncryptRequest> parse(std::string_view body);
};
struct EncryptResponse {
  std::string key_id;
  Bytes ciphertext;
  JsonString encode() const;
  static Result<EncryptResponse> parse(std::string_view body);
};

struct CreateKeyRequest {
  std::string description;
  std::string policy;  // empty: the service's default policy
  bool bypass_lockout_check = false;
  std::string key_usage = "ENCRYPT_DECRYPT";
  std::string key_spec{kSymmetric};
  JsonString encode() const;
  static Result<CreateKeyRequest> parse(std::string_view body);
};
// The answer to CreateKey and DescribeKey, below "KeyMetadata".
struct KeyMetadata {
  std::string account;
  std::string key_id;
  std::string arn;
  double creation_date = 0;  // seconds since 1970
  bool enabled = true;
  std::string description;
  std::string key_state = "Enabled";  // Enabled, Disabled, PendingDeletion…
  std::string key_usage = "ENCRYPT_DECRYPT";
  std::string key_spec{kSymmetric};
  std::string origin = "AWS_KMS";
  std::string key_manager = "CUSTOMER";
  bool multi_region = false;
  std::string primary_region;                // of a multi-Region key; empty: not told
  std::vector<std::string> replica_regions;  // likewise; its own too, if it is a replica
  std::optional<double> deletion_date;       // seconds since 1970
  JsonString encode() const;
  static Result<KeyMetadata> parse(std::string_view body);
};

// DescribeKey, EnableKey, DisableKey.
struct KeyIdRequest {
  std::string key_id;
  JsonString encode() const;
  static Result<KeyIdRequest> parse(std::string_view body);
};

struct CreateAliasRequest {
  std::string alias_name;  // alias/…
  std::string target_key_id;
  JsonString encode() const;
  static Result<CreateAliasRequest> parse(std::string_view body);
};

// ListKeys and (with key_id) ListAliases.
struct ListRequest {
  std::string key_id;  // empty: all
  unsigned limit = 100;
  std::string marker;  // empty: from the start
  JsonString encode() const;
  static Result<ListRequest> parse(std::string_view body);
};
struct KeyEntry {
  std::string key_id;
  std::string arn;
};
struct ListKeysResponse {
  std::vector<KeyEntry> keys;
  std::string next_marker;  // empty: complete
  JsonString encode() const;
  static Result<ListKeysResponse> parse(std::string_view body);
};
struct AliasEntry {
  std::string name;
  std::string arn;
  std::string target_key_id;  // empty: predefined, not yet backed by a key
};
struct ListAliasesResponse {
  std::vector<AliasEntry> aliases;
  std::string next_marker;
  JsonString encode() const;
  static Result<ListAliasesResponse> parse(std::string_view body);
};

struct GetKeyPolicyRequest {
  std::string key_id;
  std::string policy_name{kDefaultPolicyName};
  JsonString encode() const;
  static Result<GetKeyPolicyRequest> parse(std::string_view body);
};
struct GetKeyPolicyResponse {
  std::string policy;
  JsonString encode() const;
  static Result<GetKeyPolicyResponse> parse(std::string_view body);
};
struct PutKeyPolicyRequest {
  std::string key_id;
  std::string policy_name{kDefaultPolicyName};
  std::string policy;
  bool bypass_lockout_check = false;
  JsonString encode() const;
  static Result<PutKeyPolicyRequest> parse(std::string_view body);
};

}  // namespace cloister::kms
