#include "emulator/policy_eval.h"

#include <algorithm>

namespace cloister::emulator {

namespace {

// How a statement's principals cover the caller.
enum class Coverage { none, through_account, directly };

Coverage covers(const PrincipalPattern& pattern, const Caller& caller) {
  switch (pattern.kind) {
    case PrincipalPattern::Kind::anyone:
      return Coverage::directly;
    case PrincipalPattern::Kind::account:
      return pattern.value == caller.account ? Coverage::through_account : Coverage::none;
    case PrincipalPattern::Kind::arn:
      return pattern.value == caller.arn || pattern.value == caller.principal_arn ? Coverage::directly
                                                                                  : Coverage::none;
    case PrincipalPattern::Kind::foreign:
      break;
  }
  return Coverage::none;
}

// NotPrincipal speaks of every identity that the caller has (account, role, session): one that a Deny does
// not except is denied, and an Allow holds only where none is excepted.
Coverage covers_inverted(const Statement& statement, const Caller& caller) {
  auto excepted = [&](PrincipalPattern::Kind kind, const std::string& value) {
    return std::any_of(
        statement.principals.entries.begin(), statement.principals.entries.end(), [&](const auto& entry) {
          return entry.kind == PrincipalPattern::Kind::anyone || (entry.kind == kind && entry.value == value);
        });
  };
  bool account = excepted(PrincipalPattern::Kind::account, caller.account);
  bool principal = excepted(PrincipalPattern::Kind::arn, caller.principal_arn);
  bool session = excepted(PrincipalPattern::Kind::arn, caller.arn);
  bool applies = statement.effect == Effect::deny ? !(account && principal && session)
                                                  : !(account || principal || session);
  return applies ? Coverage::directly : Coverage::none;
}

Coverage coverage(const Statement& statement, const Caller& caller) {
  if (statement.principals.inverted) return covers_inverted(statement, caller);
  auto best = Coverage::none;
  for (const auto& entry : statement.principals.entries) best = std::max(best, covers(entry, caller));
  return best;
}

bool matches_any(const Patterns<std::string>& patterns, std::string_view text) {
  bool any = std::any_of(patterns.entries.begin(), patterns.entries.end(),
                         [&](const std::string& pattern) { return matches_wildcards(pattern, text); });
  return any != patterns.inverted;
}

bool applies(const Statement& statement, const AccessRequest& request) {
  if (!matches_any(statement.actions, to_lower(request.action))) return false;
  if (!matches_any(statement.resources, request.resource)) return false;
  return std::all_of(
      statement.conditions.begin(), statement.conditions.end(), [&](const Condition& condition) {
        return condition.comparison.holds(request.context.find(condition.key), condition.values);
      });
}

// What one policy says.
struct Opinion {
  bool denied = false;
  Coverage allowed = Coverage::none;
};

Opinion ask_key_policy(const Policy& policy, const Caller& caller, const AccessRequest& request) {
  Opinion out;
  for (const auto& statement : policy.statements) {
    auto how = coverage(statement, caller);
    if (how == Coverage::none || !applies(statement, request)) continue;
    if (statement.effect == Effect::deny)
      out.denied = true;
    else
      out.allowed = std::max(out.allowed, how);
  }
  return out;
}

Opinion ask_identity_policy(const Caller& caller, const AccessRequest& request) {
  Opinion out;
  if (!caller.identity_policy) return out;
  for (const auto& statement : caller.identity_policy->statements) {
    if (!applies(statement, request)) continue;
    if (statement.effect == Effect::deny)
      out.denied = true;
    else
      out.allowed = Coverage::directly;
  }
  return out;
}

}  // namespace

Verdict authorize(const Caller& caller, const AccessRequest& request, const std::optional<KeyGuard>& key) {
  auto identity = ask_identity_policy(caller, request);
  auto own = key ? ask_key_policy(key->policy, caller, request) : Opinion{};
  if (own.denied) return Verdict::denied_by_key_policy;
  if (identity.denied) return Verdict::denied_by_identity_policy;
  bool identity_allows = identity.allowed != Coverage::none;
  if (!key) return identity_allows ? Verdict::allowed : Verdict::no_identity_policy_allows;
  if (own.allowed == Coverage::none) return Verdict::no_key_policy_allows;
  // A key policy's word for the principal itself is enough inside one account; its word for the account, and
  // any across accounts, needs the principal's own policies too.
  bool enough = own.allowed == Coverage::directly && caller.account == key->account;
  return enough || identity_allows ? Verdict::allowed : Verdict::no_identity_policy_allows;
}

std::string denial_message(const Caller& caller, const AccessRequest& request, Verdict verdict) {
  auto why = [&]() -> std::string {
    switch (verdict) {
      case Verdict::denied_by_key_policy:
        return "with an explicit deny in a resource-based policy";
      case Verdict::denied_by_identity_policy:
        return "with an explicit deny in an identity-based policy";
      case Verdict::no_key_policy_allows:
        return fmt::format("because no resource-based policy allows the {} action", request.action);
      case Verdict::no_identity_policy_allows:
      case Verdict::allowed:
        break;
    }
    return fmt::format("because no identity-based policy allows the {} action", request.action);
  };
  return fmt::format("User: {} is not authorized to perform: {} on resource: {} {}", caller.arn,
                     request.action, request.resource, why());
}

}  // namespace cloister::emulator
