#include "iam/policy_eval.h"

#include <algorithm>

namespace cloister::iam {

namespace {

// What callers of other accounts may be allowed at all ("Allowing users in other accounts to use a KMS key"
// of the KMS developer guide); in lower case.
constexpr std::string_view kAcrossAccounts[] = {
    "kms:creategrant",
    "kms:decrypt",
    "kms:derivesharedsecret",
    "kms:describekey",
    "kms:encrypt",
    "kms:generatedatakey",
    "kms:generatedatakeypair",
    "kms:generatedatakeypairwithoutplaintext",
    "kms:generatedatakeywithoutplaintext",
    "kms:generatemac",
    "kms:getkeyrotationstatus",
    "kms:getpublickey",
    "kms:listgrants",
    "kms:reencryptfrom",
    "kms:reencryptto",
    "kms:retiregrant",
    "kms:revokegrant",
    "kms:sign",
    "kms:verify",
    "kms:verifymac",
};

// How a statement's principals cover the caller; the later say more.
enum class Coverage { none, through_account, directly, as_session };

Coverage covers(const PrincipalPattern& pattern, const Caller& caller) {
  switch (pattern.kind) {
    case PrincipalPattern::Kind::anyone:
      return Coverage::directly;
    case PrincipalPattern::Kind::account:
      return pattern.value == caller.account ? Coverage::through_account : Coverage::none;
    case PrincipalPattern::Kind::arn:
      if (pattern.value == caller.principal_arn) return Coverage::directly;
      return pattern.value == caller.arn ? Coverage::as_session : Coverage::none;
    case PrincipalPattern::Kind::foreign:
    case PrincipalPattern::Kind::gone:
      break;
  }
  return Coverage::none;
}

// NotPrincipal, of a Deny, speaks of every identity that the caller has (account, role, session): whoever has
// one that is not excepted is denied.
Coverage covers_inverted(const Statement& statement, const Caller& caller) {
  auto excepted = [&](PrincipalPattern::Kind kind, const std::string& value) {
    return std::any_of(
        statement.principals.entries.begin(), statement.principals.entries.end(), [&](const auto& entry) {
          return entry.kind == PrincipalPattern::Kind::anyone || (entry.kind == kind && entry.value == value);
        });
  };
  bool whole = excepted(PrincipalPattern::Kind::account, caller.account) &&
               excepted(PrincipalPattern::Kind::arn, caller.principal_arn) &&
               excepted(PrincipalPattern::Kind::arn, caller.arn);
  return whole ? Coverage::none : Coverage::directly;
}

Coverage coverage(const Statement& statement, const Caller& caller) {
  if (statement.principals.inverted) return covers_inverted(statement, caller);
  auto best = Coverage::none;
  for (const auto& entry : statement.principals.entries) best = std::max(best, covers(entry, caller));
  return best;
}

bool holds(const Condition& condition, const RequestContext& context, Effect effect) {
  bool as_sent = condition.comparison.holds(context.find(condition.key), condition.values);
  if (!context.is_unproven(condition.key)) return as_sent;
  bool as_absent = condition.comparison.holds(nullptr, condition.values);
  return effect == Effect::deny ? as_sent || as_absent : as_sent && as_absent;
}

bool applies(const Statement& statement, const AccessRequest& request) {
  if (!matches_any(statement.actions, to_lower(request.action))) return false;
  if (!matches_any(statement.resources, request.resource)) return false;
  return std::all_of(
      statement.conditions.begin(), statement.conditions.end(),
      [&](const Condition& condition) { return holds(condition, request.context, statement.effect); });
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

// Of a policy that names no principals: it is the caller's own.
Opinion ask_own_policy(const std::optional<Policy>& policy, const AccessRequest& request) {
  Opinion out;
  if (!policy) return out;
  for (const auto& statement : policy->statements) {
    if (!applies(statement, request)) continue;
    if (statement.effect == Effect::deny)
      out.denied = true;
    else
      out.allowed = Coverage::directly;
  }
  return out;
}

bool works_across_accounts(std::string_view action) {
  auto lower = to_lower(action);
  return !lower.starts_with("kms:") || std::find(std::begin(kAcrossAccounts), std::end(kAcrossAccounts),
                                                 lower) != std::end(kAcrossAccounts);
}

}  // namespace

bool matches_any(const Patterns<std::string>& patterns, std::string_view text) {
  bool any = std::any_of(patterns.entries.begin(), patterns.entries.end(),
                         [&](const std::string& pattern) { return matches_wildcards(pattern, text); });
  return any != patterns.inverted;
}

Verdict authorize(const Caller& caller, const AccessRequest& request, const std::optional<KeyGuard>& key) {
  auto identity = ask_own_policy(caller.identity_policy, request);
  auto session = ask_own_policy(caller.session_policy, request);
  auto own = key ? ask_key_policy(key->policy, caller, request) : Opinion{};
  if (own.denied) return Verdict::denied_by_key_policy;
  if (identity.denied) return Verdict::denied_by_identity_policy;
  if (session.denied) return Verdict::denied_by_session_policy;
  bool same_account = !key || caller.account == key->account;
  bool usable = same_account || works_across_accounts(request.action);
  if (key && (own.allowed == Coverage::none || !usable)) return Verdict::no_key_policy_allows;
  // A key policy's word for the principal itself is enough inside one account; its word for the account, and
  // any across accounts, needs the principal's own policies too.
  bool enough = key && same_account && own.allowed >= Coverage::directly;
  if (!enough && identity.allowed == Coverage::none) return Verdict::no_identity_policy_allows;
  // Its word for this very session is not narrowed by the session's policy, its word for the role is.
  bool to_session = enough && own.allowed == Coverage::as_session;
  bool narrowed = caller.session_policy && session.allowed == Coverage::none && !to_session;
  return narrowed ? Verdict::no_session_policy_allows : Verdict::allowed;
}

std::string denial_message(const Caller& caller, const AccessRequest& request, Verdict verdict) {
  auto why = [&]() -> std::string {
    switch (verdict) {
      case Verdict::denied_by_key_policy:
        return "with an explicit deny in a resource-based policy";
      case Verdict::denied_by_identity_policy:
        return "with an explicit deny in an identity-based policy";
      case Verdict::denied_by_session_policy:
        return "with an explicit deny in a session policy";
      case Verdict::no_key_policy_allows:
        return fmt::format("because no resource-based policy allows the {} action", request.action);
      case Verdict::no_session_policy_allows:
        return fmt::format("because no session policy allows the {} action", request.action);
      case Verdict::no_identity_policy_allows:
      case Verdict::allowed:
        break;
    }
    return fmt::format("because no identity-based policy allows the {} action", request.action);
  };
  return fmt::format("User: {} is not authorized to perform: {} on resource: {} {}", caller.arn,
                     request.action, request.resource, why());
}

}  // namespace cloister::iam
