#include "emulator/call.h"

#include <nlohmann/json.hpp>

namespace cloister::emulator {

namespace {

constexpr std::size_t kAliasesInContext = 50;  // of one key, as kms:ResourceAliases

// "arn:aws:kms:REGION:ACCOUNT:rest" → rest. Another region or account has none of our keys.
Outcome<std::string> strip_arn(const Store& store, const std::string& name) {
  if (!name.starts_with("arn:")) return name;
  auto prefix = store.alias_arn("");
  if (!name.starts_with(prefix)) return fault("NotFoundException", "Invalid arn {}", name);
  auto rest = name.substr(prefix.size());
  if (rest.starts_with("key/")) return rest.substr(4);
  if (rest.starts_with("alias/")) return rest;
  return fault("InvalidArnException", "{} is not a valid arn", name);
}

}  // namespace

Outcome<KeyRecord> Call::find_key(const std::string& name) {
  auto id = TRY(strip_arn(store, name));
  if (id.starts_with("alias/")) {
    auto alias = store.alias(id);
    if (!alias && alias.error().kind() == ErrorKind::not_found) {
      return fault("NotFoundException", "Alias {} is not found.", store.alias_arn(id));
    }
    context.set("kms:RequestAlias", id);
    id = TRY(std::move(alias)).key_id;
  }
  auto key = store.key(id);
  if (!key && key.error().kind() == ErrorKind::not_found) {
    return fault("NotFoundException", "Key '{}' does not exist", store.key_arn(id));
  }
  return TRY(std::move(key));
}

Outcome<KeyRecord> Call::required_key() {
  return find_key(TRY(parameters.required_text("KeyId", 1, kMaxKeyIdLength)));
}

Outcome<void> Call::check(const AccessRequest& request, const std::optional<KeyGuard>& guard) const {
  auto verdict = authorize(caller, request, guard);
  if (verdict == Verdict::allowed) return {};
  return fault("AccessDeniedException", "{}", denial_message(caller, request, verdict));
}

Outcome<void> Call::require(std::string_view action, const KeyRecord& key) {
  context.set("kms:KeySpec", "SYMMETRIC_DEFAULT");
  context.set("kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT");
  context.set("kms:KeyUsage", "ENCRYPT_DECRYPT");
  context.set("kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT");
  context.set("kms:KeyOrigin", "AWS_KMS");
  context.set("kms:MultiRegion", "false");
  std::vector<std::string> names;
  for (auto& alias : TRY(store.aliases("", kAliasesInContext, key.id)))
    names.push_back(std::move(alias.name));
  context.set_list("kms:ResourceAliases", std::move(names));
  auto policy = TRY(Policy::parse(key.policy, PolicyKind::key));
  AccessRequest request{fmt::format("kms:{}", action), key.arn, context};
  return check(request, KeyGuard{store.settings().account, policy});
}

Outcome<void> Call::require_identity(std::string_view action, std::string_view resource) {
  return check({fmt::format("kms:{}", action), std::string(resource), context}, {});
}

Outcome<void> Call::require_enabled(const KeyRecord& key) {
  if (!key.enabled) return fault("DisabledException", "{} is disabled.", key.arn);
  return {};
}

Outcome<void> Call::stop_if_dry_run() const {
  constexpr int kPreconditionFailed = 412;
  if (!TRY(parameters.flag("DryRun"))) return {};
  return std::unexpected(Fault(kPreconditionFailed, "DryRunOperationException",
                               "The request would have succeeded, but the DryRun option is set."));
}

}  // namespace cloister::emulator
