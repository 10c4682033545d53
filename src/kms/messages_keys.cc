// Messages about keys: their life, aliases and policies.
#include "kms/json_object.h"

namespace cloister::kms {

namespace {

constexpr Length kKeyId{1, kMaxKeyIdBytes};
constexpr Length kName{1, 64};
constexpr Length kWord{0, 64};  // where empty and absent are the same
constexpr Length kDescription{0, 8192};
constexpr Length kAlias{1, 256};
constexpr Length kMarker{1, 1024};
constexpr Length kPolicy{1, kMaxPolicyBytes};
constexpr unsigned kMaxListLimit = 1000;  // entries of one answer

// One page of a list: {"Keys":[…],"Truncated":true,"NextMarker":…}.
JsonString encode_page(std::string_view name, Json entries, const std::string& next_marker) {
  ObjectWriter out;
  out.value(name, std::move(entries)).value("Truncated", !next_marker.empty());
  return out.text_unless_empty("NextMarker", next_marker).encode();
}

Result<std::string> parse_next_marker(const ObjectReader& in) {
  auto truncated = TRY(in.boolean_or("Truncated", false));
  if (!truncated) return std::string();
  return in.text("NextMarker", kMarker);
}

// {"MultiRegionConfiguration":{"PrimaryKey":{"Arn":…,"Region":…},"ReplicaKeys":[…]}}
Status parse_regions(const ObjectReader& metadata, KeyMetadata& out) {
  constexpr std::size_t kMaxReplicas = 256;  // one per region, and there are some dozens
  if (!metadata.has("MultiRegionConfiguration")) return {};
  auto in = TRY(metadata.object("MultiRegionConfiguration"));
  if (in.has("PrimaryKey")) {
    auto primary = TRY(in.object("PrimaryKey"));
    out.primary_region = TRY(primary.text_or("Region", kWord, ""));
  }
  auto replicas = TRY(in.array("ReplicaKeys", kMaxReplicas));
  for (const auto& replica : replicas) out.replica_regions.push_back(TRY(replica.text("Region", kName)));
  return {};
}

Json encode_regions(const KeyMetadata& key) {
  ObjectWriter out;
  out.value("PrimaryKey", ObjectWriter().text("Region", key.primary_region).take());
  Json replicas = Json::array();
  for (const auto& region : key.replica_regions)
    replicas.push_back(ObjectWriter().text("Region", region).take());
  return out.value("ReplicaKeys", std::move(replicas)).take();
}

}  // namespace

JsonString CreateKeyRequest::encode() const {
  ObjectWriter out;
  out.text_unless_empty("Description", description).text_unless_empty("Policy", policy);
  out.text("KeyUsage", key_usage).text("KeySpec", key_spec);
  return out.value("BypassPolicyLockoutSafetyCheck", bypass_lockout_check).encode();
}

Result<CreateKeyRequest> CreateKeyRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  CreateKeyRequest out;
  out.description = TRY(in.text_or("Description", kDescription, ""));
  out.policy = TRY(in.text_or("Policy", kPolicy, ""));
  out.bypass_lockout_check = TRY(in.boolean_or("BypassPolicyLockoutSafetyCheck", false));
  out.key_usage = TRY(in.text_or("KeyUsage", kName, out.key_usage));
  // The older name of KeySpec.
  auto older = TRY(in.text_or("CustomerMasterKeySpec", kName, out.key_spec));
  out.key_spec = TRY(in.text_or("KeySpec", kName, older));
  return out;
}

JsonString KeyMetadata::encode() const {
  ObjectWriter out;
  out.text("AWSAccountId", account)
      .text("KeyId", key_id)
      .text("Arn", arn)
      .value("CreationDate", creation_date);
  out.value("Enabled", enabled).text("Description", description).text("KeyState", key_state);
  out.text("KeyUsage", key_usage).text("KeySpec", key_spec).text("CustomerMasterKeySpec", key_spec);
  out.text("Origin", origin).text("KeyManager", key_manager).value("MultiRegion", multi_region);
  out.value("EncryptionAlgorithms", Json::array({JsonString(kSymmetric)}));
  if (deletion_date) out.value("DeletionDate", *deletion_date);
  if (multi_region) out.value("MultiRegionConfiguration", encode_regions(*this));
  return ObjectWriter().value("KeyMetadata", out.take()).encode();
}

Result<KeyMetadata> KeyMetadata::parse(std::string_view body) {
  auto outer = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  auto in = TRY(outer.object("KeyMetadata"));
  KeyMetadata out;
  out.account = TRY(in.text_or("AWSAccountId", kWord, ""));
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.arn = TRY(in.text("Arn", kKeyId));
  out.creation_date = TRY(in.seconds("CreationDate")).value_or(0);
  out.key_state = TRY(in.text_or("KeyState", kWord, ""));
  out.enabled = TRY(in.boolean_or("Enabled", out.key_state == "Enabled"));
  out.description = TRY(in.text_or("Description", kDescription, ""));
  out.key_usage = TRY(in.text_or("KeyUsage", kWord, ""));
  out.key_spec = TRY(in.text_or("KeySpec", kWord, ""));
  out.origin = TRY(in.text_or("Origin", kWord, ""));
  out.key_manager = TRY(in.text_or("KeyManager", kWord, ""));
  out.multi_region = TRY(in.boolean_or("MultiRegion", false));
  out.deletion_date = TRY(in.seconds("DeletionDate"));
  TRY(parse_regions(in, out));
  return out;
}

JsonString KeyIdRequest::encode() const {
  return ObjectWriter().text("KeyId", key_id).encode();
}

Result<KeyIdRequest> KeyIdRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  KeyIdRequest out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  return out;
}

JsonString CreateAliasRequest::encode() const {
  return ObjectWriter().text("AliasName", alias_name).text("TargetKeyId", target_key_id).encode();
}

Result<CreateAliasRequest> CreateAliasRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  CreateAliasRequest out;
  out.alias_name = TRY(in.text("AliasName", kAlias));
  out.target_key_id = TRY(in.text("TargetKeyId", kKeyId));
  return out;
}

JsonString ListRequest::encode() const {
  ObjectWriter out;
  out.text_unless_empty("KeyId", key_id).value("Limit", limit);
  return out.text_unless_empty("Marker", marker).encode();
}

Result<ListRequest> ListRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  ListRequest out;
  out.key_id = TRY(in.text_or("KeyId", kKeyId, ""));
  out.limit = TRY(in.number_or("Limit", 1, kMaxListLimit, out.limit));
  out.marker = TRY(in.text_or("Marker", kMarker, ""));
  return out;
}

JsonString ListKeysResponse::encode() const {
  Json entries = Json::array();
  for (const auto& key : keys) {
    entries.push_back(ObjectWriter().text("KeyId", key.key_id).text("KeyArn", key.arn).take());
  }
  return encode_page("Keys", std::move(entries), next_marker);
}

Result<ListKeysResponse> ListKeysResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  ListKeysResponse out;
  auto entries = TRY(in.array("Keys", kMaxListLimit));
  for (const auto& entry : entries) {
    auto& key = out.keys.emplace_back();
    key.key_id = TRY(entry.text("KeyId", kKeyId));
    key.arn = TRY(entry.text("KeyArn", kKeyId));
  }
  out.next_marker = TRY(parse_next_marker(in));
  return out;
}

JsonString ListAliasesResponse::encode() const {
  Json entries = Json::array();
  for (const auto& alias : aliases) {
    ObjectWriter entry;
    entry.text("AliasName", alias.name).text("AliasArn", alias.arn);
    entries.push_back(entry.text_unless_empty("TargetKeyId", alias.target_key_id).take());
  }
  return encode_page("Aliases", std::move(entries), next_marker);
}

Result<ListAliasesResponse> ListAliasesResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  ListAliasesResponse out;
  auto entries = TRY(in.array("Aliases", kMaxListLimit));
  for (const auto& entry : entries) {
    auto& alias = out.aliases.emplace_back();
    alias.name = TRY(entry.text("AliasName", kAlias));
    alias.arn = TRY(entry.text("AliasArn", kKeyId));
    alias.target_key_id = TRY(entry.text_or("TargetKeyId", kKeyId, ""));
  }
  out.next_marker = TRY(parse_next_marker(in));
  return out;
}

JsonString GetKeyPolicyRequest::encode() const {
  return ObjectWriter().text("KeyId", key_id).text("PolicyName", policy_name).encode();
}

Result<GetKeyPolicyRequest> GetKeyPolicyRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  GetKeyPolicyRequest out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.policy_name = TRY(in.text_or("PolicyName", kName, kDefaultPolicyName));
  return out;
}

JsonString GetKeyPolicyResponse::encode() const {
  return ObjectWriter().text("Policy", policy).text("PolicyName", kDefaultPolicyName).encode();
}

Result<GetKeyPolicyResponse> GetKeyPolicyResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  GetKeyPolicyResponse out;
  out.policy = TRY(in.text("Policy", kPolicy));
  return out;
}

JsonString PutKeyPolicyRequest::encode() const {
  ObjectWriter out;
  out.text("KeyId", key_id).text("PolicyName", policy_name).text("Policy", policy);
  return out.value("BypassPolicyLockoutSafetyCheck", bypass_lockout_check).encode();
}

Result<PutKeyPolicyRequest> PutKeyPolicyRequest::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::invalid));
  PutKeyPolicyRequest out;
  out.key_id = TRY(in.text("KeyId", kKeyId));
  out.policy_name = TRY(in.text_or("PolicyName", kName, kDefaultPolicyName));
  out.policy = TRY(in.text("Policy", kPolicy));
  out.bypass_lockout_check = TRY(in.boolean_or("BypassPolicyLockoutSafetyCheck", false));
  return out;
}

}  // namespace cloister::kms
