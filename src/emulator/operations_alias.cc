// CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "emulator/call.h"
#include "emulator/paging.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr std::string_view kPrefix = "alias/";
constexpr std::size_t kMaxAliasName = 256;  // characters
constexpr PageLimits kPage{.fallback = 50, .most = 100};

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Outcome<std::string> required_alias_name(const Call& call) {
  constexpr std::string_view kPunctuation = ":/_-";
  auto name = TRY(call.parameters.required_text("AliasName", 1, kMaxAliasName));
  if (!std::ranges::all_of(name, [&](char c) { return is_letter_or_digit(c) || kPunctuation.contains(c); })) {
    return invalid_value(name, "aliasName",
                         "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$");
  }
  if (!name.starts_with(kPrefix)) {
    return fault("ValidationException",
                 "Alias must start with the prefix \"alias/\". Please see "
                 "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html");
  }
  if (name.size() == kPrefix.size() || name.contains(':')) {
    return fault("InvalidAliasNameException", "{} contains invalid characters for an alias", name);
  }
  return name;
}

// Those of the services of AWS are theirs.
Outcome<std::string> required_own_alias_name(const Call& call) {
  auto name = TRY(required_alias_name(call));
  if (name.starts_with("alias/aws/")) return fault("NotAuthorizedException", "");
  return name;
}

Outcome<KeyRecord> required_target(Call& call) {
  auto target = TRY(call.parameters.required_text("TargetKeyId", 1, kMaxKeyIdLength));
  if (target.contains(kPrefix))
    return fault("ValidationException", "Aliases must refer to keys. Not aliases");
  return call.find_key(target);
}

Outcome<void> told(const Call& call, Status changed, const std::string& name, const KeyRecord& key) {
  if (changed) return {};
  auto kind = changed.error().kind();
  if (kind == ErrorKind::invalid) {
    return fault("AlreadyExistsException", "An alias with the name {} already exists",
                 call.store.alias_arn(name));
  }
  if (kind == ErrorKind::not_found) {
    return fault("NotFoundException", "Alias {} is not found.", call.store.alias_arn(name));
  }
  if (kind == ErrorKind::exhausted) {
    return fault("LimitExceededException", "{} has {} aliases, the most that a key may have", key.arn,
                 kMaxAliases);
  }
  return std::unexpected(Fault(changed.error()));
}

// An alias needs leave twice: of the caller's own policies for the alias, of the key's for the key.
Outcome<json> create_alias(Call& call) {
  auto name = TRY(required_own_alias_name(call));
  auto key = TRY(required_target(call));
  TRY(call.require_identity("CreateAlias", call.store.alias_arn(name)));
  TRY(call.require("CreateAlias", key));
  TRY(Call::require_staying(key));
  TRY(told(call, call.store.create_alias(name, key.id, call.now), name, key));
  return json();
}

// For both keys, the one it leaves and the one it comes to.
Outcome<json> update_alias(Call& call) {
  auto name = TRY(required_own_alias_name(call));
  auto target = TRY(required_target(call));
  auto before = TRY(call.find_key_or_alias(name));
  TRY(call.require_identity("UpdateAlias", call.store.alias_arn(name)));
  TRY(call.require("UpdateAlias", before));
  TRY(call.require("UpdateAlias", target));
  TRY(Call::require_staying(target));
  TRY(told(call, call.store.update_alias(name, target.id, call.now), name, target));
  return json();
}

Outcome<json> delete_alias(Call& call) {
  auto name = TRY(required_own_alias_name(call));
  auto key = TRY(call.find_key_or_alias(name));
  TRY(call.require_identity("DeleteAlias", call.store.alias_arn(name)));
  TRY(call.require("DeleteAlias", key));
  TRY(told(call, call.store.delete_alias(name), name, key));
  return json();
}

Outcome<json> list_aliases(Call& call) {
  auto page = TRY(Page::read(call, "ListAliases", kPage));
  std::optional<std::string> key_id;
  if (auto name = TRY(call.parameters.text("KeyId", 1, kMaxKeyIdLength)))
    key_id = TRY(call.find_key(*name)).id;
  TRY(call.require_identity("ListAliases"));
  auto aliases = TRY(call.store.aliases(page.after(), page.probe(), key_id));
  bool more = page.cut(aliases);
  json list = json::array();
  for (const auto& alias : aliases) {
    list.push_back({{"AliasName", alias.name},
                    {"AliasArn", call.store.alias_arn(alias.name)},
                    {"TargetKeyId", alias.key_id},
                    {"CreationDate", seconds_of(alias.created)},
                    {"LastUpdatedDate", seconds_of(alias.updated)}});
  }
  json answer{{"Aliases", std::move(list)}};
  page.finish(answer, more, more ? aliases.back().name : "");
  return answer;
}

constexpr OperationEntry kOperations[] = {
    {"CreateAlias", create_alias},
    {"DeleteAlias", delete_alias},
    {"ListAliases", list_aliases},
    {"UpdateAlias", update_alias},
};

}  // namespace

std::span<const OperationEntry> alias_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
