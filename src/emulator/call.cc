#include "emulator/call.h"

#include <nlohmann/json.hpp>

#include "crypto/digest.h"
#include "emulator/uuid.h"

namespace cloister::emulator {

namespace {

constexpr std::size_t kMaxGrantToken = 8192;  // characters
constexpr std::size_t kArnFields = 6;         // arn:aws:kms:REGION:ACCOUNT:RESOURCE

std::vector<std::string> split_arn(const std::string& name) {
  std::vector<std::string> out;
  std::size_t from = 0;
  while (out.size() + 1 < kArnFields) {
    auto colon = name.find(':', from);
    if (colon == std::string::npos) break;
    out.push_back(name.substr(from, colon - from));
    from = colon + 1;
  }
  out.push_back(name.substr(from));
  return out;
}

// "arn:aws:kms:REGION:ACCOUNT:key/ID" → ID, "…:alias/NAME" → "alias/NAME"; what is no ARN stays as it is.
// Another region or account has none of our keys.
Outcome<std::string> strip_arn(const Store& store, const std::string& name) {
  constexpr std::string_view kKeyPrefix = "key/";
  if (!name.starts_with("arn:")) return name;
  auto fields = split_arn(name);
  bool shaped = fields.size() == kArnFields && fields[1] == "aws" && fields[2] == "kms";
  bool is_key = shaped && fields[5].starts_with(kKeyPrefix);
  if (!is_key && !(shaped && fields[5].starts_with("alias/"))) {
    return fault("InvalidArnException", "{} is not a valid arn", name);
  }
  if (fields[3] != store.settings().region) return fault("NotFoundException", "Invalid arn {}", fields[3]);
  if (fields[4] != store.settings().account) {
    if (is_key) return fault("NotFoundException", "Key '{}' does not exist", name);
    return fault("NotFoundException", "Alias {} is not found.", name);
  }
  return is_key ? fields[5].substr(kKeyPrefix.size()) : fields[5];
}

Outcome<KeyRecord> key_by_id(Store& store, const std::string& id) {
  if (!uuid_bytes(id)) return fault("NotFoundException", "Invalid keyId '{}'", id);
  auto key = store.key(id);
  if (!key && key.error().kind() == ErrorKind::not_found) {
    return fault("NotFoundException", "Key '{}' does not exist", store.key_arn(id));
  }
  return TRY(std::move(key));
}

}  // namespace

Outcome<KeyRecord> Call::find_key(const std::string& name) {
  auto id = TRY(strip_arn(store, name));
  if (id != name && id.starts_with("alias/")) {
    return fault("InvalidArnException", "{} is not a valid key arn", name);
  }
  return key_by_id(store, id);
}

Outcome<KeyRecord> Call::find_key_or_alias(const std::string& name) {
  auto id = TRY(strip_arn(store, name));
  if (!id.starts_with("alias/")) return key_by_id(store, id);
  auto alias = store.alias(id);
  if (!alias && alias.error().kind() == ErrorKind::not_found) {
    return fault("NotFoundException", "Alias {} is not found.", store.alias_arn(id));
  }
  context.set("kms:RequestAlias", id);
  return key_by_id(store, TRY(std::move(alias)).key_id);
}

Outcome<KeyRecord> Call::required_key(const char* member) {
  return find_key(TRY(parameters.required_text(member, 1, kMaxKeyIdLength)));
}

Outcome<KeyRecord> Call::required_key_or_alias(const char* member) {
  return find_key_or_alias(TRY(parameters.required_text(member, 1, kMaxKeyIdLength)));
}

Outcome<void> Call::check(const iam::AccessRequest& request,
                          const std::optional<iam::KeyGuard>& guard) const {
  auto verdict = iam::authorize(caller, request, guard);
  if (verdict == iam::Verdict::allowed) return {};
  return fault("AccessDeniedException", "{}", iam::denial_message(caller, request, verdict));
}

Outcome<void> Call::require(std::string_view action, const KeyRecord& key) {
  context.set("kms:KeySpec", "SYMMETRIC_DEFAULT");
  context.set("kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT");
  context.set("kms:KeyUsage", "ENCRYPT_DECRYPT");
  context.set("kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT");
  context.set("kms:KeyOrigin", "AWS_KMS");
  context.set("kms:MultiRegion", "false");
  std::vector<std::string> names;
  for (auto& alias : TRY(store.aliases("", kMaxAliases, key.id))) names.push_back(std::move(alias.name));
  context.set_list("kms:ResourceAliases", std::move(names));
  for (auto& tag : TRY(store.tags(key.id, "", kMaxTags)))
    context.set(fmt::format("aws:ResourceTag/{}", tag.key), std::move(tag.value));
  auto policy = TRY(iam::Policy::parse(key.policy, iam::PolicyKind::key));
  iam::AccessRequest request{fmt::format("kms:{}", action), key.arn, context};
  return check(request, iam::KeyGuard{store.settings().account, policy});
}

Outcome<void> Call::require_identity(std::string_view action, std::string_view resource) {
  // Keys and aliases are all of one account: another one's callers have none here, and can make none.
  if (caller.account != store.settings().account && action != "GenerateRandom") {
    return fault("AccessDeniedException", "This service keeps keys of account {} only",
                 store.settings().account);
  }
  return check({fmt::format("kms:{}", action), std::string(resource), context}, {});
}

Outcome<void> Call::require_staying(const KeyRecord& key) {
  if (key.deletion) return fault("KMSInvalidStateException", "{} is pending deletion.", key.arn);
  return {};
}

Outcome<void> Call::require_enabled(const KeyRecord& key) {
  TRY(require_staying(key));
  if (!key.enabled) return fault("DisabledException", "{} is disabled.", key.arn);
  return {};
}

Outcome<void> Call::refuse_grant_tokens() const {
  if (TRY(parameters.texts("GrantTokens", 1, kMaxGrantToken)).empty()) return {};
  return fault("InvalidGrantTokenException", "");
}

Outcome<void> Call::stop_if_dry_run() const {
  if (parameters.has("DryRunModifiers")) {
    return fault("UnsupportedOperationException", "DryRunModifiers are not supported by this service");
  }
  if (!TRY(parameters.flag("DryRun"))) return {};
  return fault("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.");
}

double seconds_of(sys::UnixMillis at) {
  return static_cast<double>(at) / 1000.0;
}

std::string material_id(std::string_view key_id, std::uint32_t version) {
  return to_hex(crypto::sha256(as_bytes(fmt::format("cloister-kms/material-id/v1/{}/{}", key_id, version))));
}

}  // namespace cloister::emulator
