// Keys and aliases: CreateKey, DescribeKey, ListKeys, EnableKey, DisableKey, RotateKeyOnDemand,
// ListResourceTags, CreateAlias, DeleteAlias, ListAliases.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "emulator/call.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr std::int64_t kMaxPage = 1000;         // keys
constexpr std::int64_t kDefaultPage = 100;      // keys
constexpr std::int64_t kMaxAliasPage = 100;     // aliases
constexpr std::int64_t kDefaultAliasPage = 50;  // aliases
constexpr std::size_t kMaxEnumName = 64;        // characters
constexpr std::size_t kMaxAliasName = 256;      // characters

double seconds_of(sys::UnixMillis at) {
  return static_cast<double>(at) / 1000.0;
}

json metadata(const Store& store, const KeyRecord& key) {
  return {{"AWSAccountId", store.settings().account},
          {"KeyId", key.id},
          {"Arn", key.arn},
          {"CreationDate", seconds_of(key.created)},
          {"Enabled", key.enabled},
          {"Description", key.description},
          {"KeyUsage", "ENCRYPT_DECRYPT"},
          {"KeyState", key.enabled ? "Enabled" : "Disabled"},
          {"Origin", "AWS_KMS"},
          {"KeyManager", "CUSTOMER"},
          {"CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"},
          {"KeySpec", "SYMMETRIC_DEFAULT"},
          {"EncryptionAlgorithms", json::array({"SYMMETRIC_DEFAULT"})},
          {"MultiRegion", false}};
}

// Only symmetric keys made here exist.
Outcome<void> check_kind_of_key(const Call& call) {
  struct Only {
    const char* member;
    std::string_view value;
  };
  constexpr Only kOnly[] = {{"KeySpec", "SYMMETRIC_DEFAULT"},
                            {"CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"},
                            {"KeyUsage", "ENCRYPT_DECRYPT"},
                            {"Origin", "AWS_KMS"}};
  for (const auto& only : kOnly) {
    auto value = TRY(call.parameters.text(only.member, 1, kMaxEnumName));
    if (value && *value != only.value) {
      return fault("UnsupportedOperationException", "{} {} is not supported", only.member, *value);
    }
  }
  if (TRY(call.parameters.flag("MultiRegion"))) {
    return fault("UnsupportedOperationException", "Multi-Region keys are not supported");
  }
  return {};
}

Outcome<json> create_key(Call& call) {
  TRY(check_kind_of_key(call));
  NewKey key;
  key.description = TRY(call.parameters.text("Description", 0, kMaxDescription)).value_or("");
  key.tags = TRY(call.parameters.tags());
  auto policy = TRY(call.parameters.text("Policy", 1, kMaxPolicyBytes));
  bool bypass = TRY(call.parameters.flag("BypassPolicyLockoutSafetyCheck"));
  call.context.set("kms:BypassPolicyLockoutSafetyCheck", bypass ? "true" : "false");
  TRY(call.require_identity("CreateKey"));
  key.policy = policy.value_or(default_key_policy(call.store.settings().account));
  // The ARN does not exist yet; policies of keys name "*" as a rule.
  TRY(check_new_policy(call, key.policy, call.store.key_arn("new"), bypass));
  auto made = TRY(call.store.create_key(key, call.now));
  return json{{"KeyMetadata", metadata(call.store, made)}};
}

Outcome<json> describe_key(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("DescribeKey", key));
  return json{{"KeyMetadata", metadata(call.store, key)}};
}

struct Page {
  std::size_t limit;
  std::string after;
};

Outcome<Page> read_page(const Call& call, std::int64_t max, std::int64_t fallback) {
  auto limit = TRY(call.parameters.integer("Limit", 1, max)).value_or(fallback);
  auto marker = TRY(call.parameters.text("Marker", 1, kMaxMarker)).value_or("");
  return Page{static_cast<std::size_t>(limit), marker};
}

Outcome<json> list_keys(Call& call) {
  auto page = TRY(read_page(call, kMaxPage, kDefaultPage));
  TRY(call.require_identity("ListKeys"));
  auto keys = TRY(call.store.keys(page.after, page.limit + 1));
  bool more = keys.size() > page.limit;
  if (more) keys.pop_back();
  json list = json::array();
  for (const auto& key : keys) list.push_back({{"KeyId", key.id}, {"KeyArn", key.arn}});
  json answer{{"Keys", std::move(list)}, {"Truncated", more}};
  if (more) answer["NextMarker"] = keys.back().id;
  return answer;
}

Outcome<json> set_enabled(Call& call, const char* action, bool enabled) {
  auto key = TRY(call.required_key());
  TRY(call.require(action, key));
  TRY(call.store.set_enabled(key.id, enabled));
  return json();
}
Outcome<json> enable_key(Call& call) {
  return set_enabled(call, "EnableKey", true);
}
Outcome<json> disable_key(Call& call) {
  return set_enabled(call, "DisableKey", false);
}

Outcome<json> rotate_key(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("RotateKeyOnDemand", key));
  TRY(call.require_enabled(key));
  TRY(call.store.rotate(key.id, call.now));
  return json{{"KeyId", key.id}};
}

Outcome<json> list_tags(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("ListResourceTags", key));
  // As text in the store, checked when it was made.
  return json{{"Tags", TRY(http::parse_json(key.tags))}, {"Truncated", false}};
}

Outcome<std::string> required_alias_name(const Call& call) {
  auto name = TRY(call.parameters.required_text("AliasName", 1, kMaxAliasName));
  bool shaped =
      name.starts_with("alias/") && name.size() > 6 && std::all_of(name.begin() + 6, name.end(), [](char c) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return letter || (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-';
      });
  if (!shaped)
    return fault("InvalidAliasNameException",
                 "Alias must start with the prefix \"alias/\" and hold a-zA-Z0-9/_- only.");
  if (name.starts_with("alias/aws/"))
    return fault("NotAuthorizedException", "Aliases of AWS services cannot be made");
  return name;
}

// An alias needs leave twice: of the caller's own policies for the alias, of the key's for the key.
Outcome<json> create_alias(Call& call) {
  auto name = TRY(required_alias_name(call));
  auto target = TRY(call.parameters.required_text("TargetKeyId", 1, kMaxKeyIdLength));
  if (target.find("alias/") != std::string::npos)
    return fault("ValidationException", "Aliases must refer to keys. Not aliases");
  auto key = TRY(call.find_key(target));
  TRY(call.require_identity("CreateAlias", call.store.alias_arn(name)));
  TRY(call.require("CreateAlias", key));
  auto made = call.store.create_alias(name, key.id, call.now);
  if (!made && made.error().kind() == ErrorKind::invalid) {
    return fault("AlreadyExistsException", "An alias with the name {} already exists",
                 call.store.alias_arn(name));
  }
  TRY(std::move(made));
  return json();
}

Outcome<json> delete_alias(Call& call) {
  auto name = TRY(required_alias_name(call));
  auto key = TRY(call.find_key(name));
  TRY(call.require_identity("DeleteAlias", call.store.alias_arn(name)));
  TRY(call.require("DeleteAlias", key));
  TRY(call.store.delete_alias(name));
  return json();
}

Outcome<json> list_aliases(Call& call) {
  auto page = TRY(read_page(call, kMaxAliasPage, kDefaultAliasPage));
  std::optional<std::string> key_id;
  if (auto name = TRY(call.parameters.text("KeyId", 1, kMaxKeyIdLength)))
    key_id = TRY(call.find_key(*name)).id;
  TRY(call.require_identity("ListAliases"));
  auto aliases = TRY(call.store.aliases(page.after, page.limit + 1, key_id));
  bool more = aliases.size() > page.limit;
  if (more) aliases.pop_back();
  json list = json::array();
  for (const auto& alias : aliases) {
    list.push_back({{"AliasName", alias.name},
                    {"AliasArn", call.store.alias_arn(alias.name)},
                    {"TargetKeyId", alias.key_id},
                    {"CreationDate", seconds_of(alias.created)},
                    {"LastUpdatedDate", seconds_of(alias.created)}});
  }
  json answer{{"Aliases", std::move(list)}, {"Truncated", more}};
  if (more) answer["NextMarker"] = aliases.back().name;
  return answer;
}

constexpr OperationEntry kOperations[] = {
    {"CreateAlias", create_alias},     {"CreateKey", create_key},   {"DeleteAlias", delete_alias},
    {"DescribeKey", describe_key},     {"DisableKey", disable_key}, {"EnableKey", enable_key},
    {"ListAliases", list_aliases},     {"ListKeys", list_keys},     {"ListResourceTags", list_tags},
    {"RotateKeyOnDemand", rotate_key},
};

}  // namespace

std::span<const OperationEntry> key_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
