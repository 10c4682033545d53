// GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, and the checks that every new policy passes.
#include <nlohmann/json.hpp>

#include "emulator/call.h"
#include "emulator/paging.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr std::string_view kPolicyName = "default";
constexpr std::size_t kMaxPolicyName = 128;         // characters
constexpr std::size_t kMaxPolicyText = 128 * 1024;  // characters, before the limit of kMaxPolicyBytes
constexpr PageLimits kPage{.fallback = 100, .most = 1000};

std::unexpected<Fault> malformed(std::string_view why) {
  return fault("MalformedPolicyDocumentException", "{}", why);
}

// AWS refuses principals that do not exist; those of other accounts are not ours to know.
Outcome<void> check_principals_exist(Call& call, const iam::Policy& policy) {
  auto own = fmt::format("::{}:", call.store.settings().account);
  for (const auto& statement : policy.statements) {
    for (const auto& principal : statement.principals.entries) {
      bool ours = principal.kind == iam::PrincipalPattern::Kind::arn &&
                  principal.value.find(own) != std::string::npos;
      if (ours && !TRY(call.store.has_principal(principal.value))) {
        return malformed("Policy contains a statement with one or more invalid principals.");
      }
    }
  }
  return {};
}

Outcome<void> check_policy_name(const Call& call) {
  auto name = TRY(call.parameters.text("PolicyName", 1, kMaxPolicyName));
  if (name && *name != kPolicyName) return fault("NotFoundException", "No such policy exists");
  return {};
}

Outcome<json> get_key_policy(Call& call) {
  auto key = TRY(call.required_key());
  TRY(check_policy_name(call));
  TRY(call.require("GetKeyPolicy", key));
  return json{{"Policy", key.policy}, {"PolicyName", kPolicyName}};
}

Outcome<json> put_key_policy(Call& call) {
  auto key = TRY(call.required_key());
  TRY(check_policy_name(call));
  auto policy = TRY(policy_text(call));
  if (!policy) return invalid_member("policy", "Member must not be null");
  bool bypass = TRY(call.parameters.flag("BypassPolicyLockoutSafetyCheck"));
  call.context.set("kms:BypassPolicyLockoutSafetyCheck", bypass ? "true" : "false");
  TRY(call.require("PutKeyPolicy", key));
  TRY(check_new_policy(call, *policy, key.arn, bypass));
  TRY(call.store.set_policy(key.id, *policy));
  return json();
}

Outcome<json> list_key_policies(Call& call) {
  auto key = TRY(call.required_key());
  TRY(Page::read(call, "ListKeyPolicies", kPage));
  TRY(call.require("ListKeyPolicies", key));
  return json{{"PolicyNames", json::array({kPolicyName})}, {"Truncated", false}};
}

constexpr OperationEntry kOperations[] = {
    {"GetKeyPolicy", get_key_policy},
    {"ListKeyPolicies", list_key_policies},
    {"PutKeyPolicy", put_key_policy},
};

}  // namespace

Outcome<std::optional<std::string>> policy_text(const Call& call) {
  auto text = TRY(call.parameters.text("Policy", 1, kMaxPolicyText));
  if (text && text->size() > iam::kMaxPolicyBytes) {
    return fault("LimitExceededException", "The policy has {} bytes, the most are {}", text->size(),
                 iam::kMaxPolicyBytes);
  }
  return text;
}

Outcome<void> check_new_policy(Call& call, std::string_view text, std::string_view key_resource,
                               bool bypass_lockout_check) {
  auto policy = iam::Policy::parse(text, iam::PolicyKind::key);
  if (!policy) return malformed(policy.error().message());
  TRY(check_principals_exist(call, *policy));
  if (bypass_lockout_check) return {};
  iam::AccessRequest later{"kms:PutKeyPolicy", std::string(key_resource), call.context};
  if (iam::authorize(call.caller, later, iam::KeyGuard{call.store.settings().account, *policy}) !=
      iam::Verdict::allowed) {
    return malformed("The new key policy will not allow you to update the key policy in the future.");
  }
  return {};
}

std::span<const OperationEntry> policy_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
