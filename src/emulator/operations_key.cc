// Keys: CreateKey, DescribeKey, ListKeys, EnableKey, DisableKey, UpdateKeyDescription.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "emulator/call.h"
#include "emulator/paging.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr PageLimits kPage{.fallback = 100, .most = 1000};

std::string_view state_of(const KeyRecord& key) {
  if (key.deletion) return "PendingDeletion";
  return key.enabled ? "Enabled" : "Disabled";
}

json metadata(const Store& store, const KeyRecord& key) {
  json out{{"AWSAccountId", store.settings().account},
           {"KeyId", key.id},
           {"Arn", key.arn},
           {"CreationDate", seconds_of(key.created)},
           {"Enabled", key.enabled && !key.deletion},
           {"Description", key.description},
           {"KeyUsage", "ENCRYPT_DECRYPT"},
           {"KeyState", state_of(key)},
           {"Origin", "AWS_KMS"},
           {"KeyManager", "CUSTOMER"},
           {"CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"},
           {"KeySpec", "SYMMETRIC_DEFAULT"},
           {"EncryptionAlgorithms", json::array({"SYMMETRIC_DEFAULT"})},
           {"MultiRegion", false},
           {"CurrentKeyMaterialId", material_id(key.id, key.material_version)}};
  if (key.deletion) out["DeletionDate"] = seconds_of(*key.deletion);
  return out;
}

// The values that AWS KMS knows; the first of each is the one that this service has.
constexpr std::string_view kSpecs[] = {"SYMMETRIC_DEFAULT",
                                       "RSA_2048",
                                       "RSA_3072",
                                       "RSA_4096",
                                       "ECC_NIST_P256",
                                       "ECC_NIST_P384",
                                       "ECC_NIST_P521",
                                       "HMAC_224",
                                       "HMAC_256",
                                       "HMAC_384",
                                       "HMAC_512",
                                       "ECC_SECG_P256K1",
                                       "SM2",
                                       "ML_DSA_44",
                                       "ML_DSA_65",
                                       "ML_DSA_87",
                                       "ECC_NIST_EDWARDS25519",
                                       "ML_KEM_512",
                                       "ML_KEM_768",
                                       "ML_KEM_1024"};
constexpr std::string_view kUsages[] = {"ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC",
                                        "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"};
constexpr std::string_view kOrigins[] = {"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"};

// Only symmetric keys made here exist.
Outcome<void> check_kind_of_key(const Call& call) {
  struct Known {
    const char* member;
    std::span<const std::string_view> values;
  };
  constexpr Known kKnown[] = {
      {"KeySpec", kSpecs}, {"CustomerMasterKeySpec", kSpecs}, {"KeyUsage", kUsages}, {"Origin", kOrigins}};
  if (call.parameters.has("KeySpec") && call.parameters.has("CustomerMasterKeySpec")) {
    return fault("ValidationException",
                 "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
                 "CustomerMasterKeySpec is deprecated.");
  }
  for (const auto& known : kKnown) {
    auto value = TRY(call.parameters.choice(known.member, known.values));
    if (value && *value != known.values.front()) {
      return fault("UnsupportedOperationException", "CreateKey with {} {} is not supported by this service",
                   known.member, *value);
    }
  }
  for (const char* member : {"CustomKeyStoreId", "XksKeyId"}) {
    if (call.parameters.has(member)) {
      return fault("UnsupportedOperationException", "CreateKey with {} is not supported by this service",
                   member);
    }
  }
  if (TRY(call.parameters.flag("MultiRegion"))) {
    return fault("UnsupportedOperationException",
                 "CreateKey with MultiRegion is not supported by this service");
  }
  return {};
}

Outcome<json> create_key(Call& call) {
  TRY(check_kind_of_key(call));
  NewKey key;
  key.description = TRY(call.parameters.text("Description", 0, kMaxDescription)).value_or("");
  key.tags = TRY(call.parameters.tags());
  auto policy = TRY(policy_text(call));
  bool bypass = TRY(call.parameters.flag("BypassPolicyLockoutSafetyCheck"));
  call.context.set("kms:BypassPolicyLockoutSafetyCheck", bypass ? "true" : "false");
  describe_tags(call.context, key.tags);
  TRY(call.require_identity("CreateKey"));
  if (!key.tags.empty()) TRY(call.require_identity("TagResource"));
  key.policy = policy.value_or(iam::default_key_policy(call.store.settings().account));
  // The ARN does not exist yet; policies of keys name "*" as a rule.
  TRY(check_new_policy(call, key.policy, call.store.key_arn("new"), bypass));
  auto made = TRY(call.store.create_key(key, call.now));
  return json{{"KeyMetadata", metadata(call.store, made)}};
}

Outcome<json> describe_key(Call& call) {
  auto key = TRY(call.required_key_or_alias());
  TRY(call.refuse_grant_tokens());
  TRY(call.require("DescribeKey", key));
  return json{{"KeyMetadata", metadata(call.store, key)}};
}

Outcome<json> list_keys(Call& call) {
  auto page = TRY(Page::read(call, "ListKeys", kPage));
  TRY(call.require_identity("ListKeys"));
  auto keys = TRY(call.store.keys(page.after(), page.probe()));
  bool more = page.cut(keys);
  json list = json::array();
  for (const auto& key : keys) list.push_back({{"KeyId", key.id}, {"KeyArn", key.arn}});
  json answer{{"Keys", std::move(list)}};
  page.finish(answer, more, more ? keys.back().id : "");
  return answer;
}

Outcome<json> set_enabled(Call& call, const char* action, bool enabled) {
  auto key = TRY(call.required_key());
  TRY(call.require(action, key));
  TRY(Call::require_staying(key));
  TRY(call.store.set_enabled(key.id, enabled));
  return json();
}
Outcome<json> enable_key(Call& call) {
  return set_enabled(call, "EnableKey", true);
}
Outcome<json> disable_key(Call& call) {
  return set_enabled(call, "DisableKey", false);
}

Outcome<json> update_description(Call& call) {
  auto key = TRY(call.required_key());
  auto description = TRY(call.parameters.required_text("Description", 0, kMaxDescription));
  TRY(call.require("UpdateKeyDescription", key));
  TRY(Call::require_staying(key));
  TRY(call.store.set_description(key.id, description));
  return json();
}

constexpr OperationEntry kOperations[] = {
    {"CreateKey", create_key}, {"DescribeKey", describe_key}, {"DisableKey", disable_key},
    {"EnableKey", enable_key}, {"ListKeys", list_keys},       {"UpdateKeyDescription", update_description},
};

}  // namespace

std::span<const OperationEntry> key_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
