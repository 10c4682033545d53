// IAM policy documents as values ("IAM JSON policy elements reference" of the IAM user guide), for key
// policies and for the identity policies of principals. Parsing is strict: what this room cannot evaluate is
// refused here, never guessed later.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "iam/policy_operators.h"

namespace cloister::iam {

inline constexpr std::size_t kMaxPolicyBytes = 32 * 1024;  // the limit of AWS KMS
inline constexpr std::size_t kMaxPolicyStatements = 256;   // per document
inline constexpr std::size_t kMaxPolicyListEntries =
    512;  // principals, actions, resources or values in one list

enum class PolicyKind {
  key,       // attached to a key: every statement names principals
  kept_key,  // the same as a service gives it back: principals that were deleted since stand there by unique
             // ids
  identity,  // attached to a principal or to one session of a role: no statement does
  trust,     // attached to a role, says who may assume it: principals, but no resource
};

enum class Effect { allow, deny };

// Who a statement speaks of.
struct PrincipalPattern {
  enum class Kind {
    anyone,   // "*"
    account,  // "111122223333" or "arn:aws:iam::111122223333:root": value is the account
    arn,      // one user, role or role session
    foreign,  // a service or a federated identity: never a caller of ours
    gone,     // a unique id ("AROA…"): of a principal that was deleted, so nobody's
  };
  Kind kind = Kind::foreign;
  std::string value;
};

// A list that matches when one entry does, or (NotAction, NotResource, NotPrincipal) when none does.
template <class T>
struct Patterns {
  bool inverted = false;
  std::vector<T> entries;
};

struct Condition {
  ConditionOperator comparison;
  std::string key;  // lower case: condition keys compare without case
  std::vector<std::string> values;
};

struct Statement {
  std::string sid;
  Effect effect = Effect::deny;
  Patterns<PrincipalPattern> principals;  // empty in identity policies; inverted: Deny only
  Patterns<std::string> actions;          // lower case, with wildcards
  Patterns<std::string> resources;        // with wildcards
  std::vector<Condition> conditions;      // all must hold
};

struct Policy {
  std::vector<Statement> statements;

  // invalid: malformed, an element, operator or condition key of AWS KMS that is not known, a policy variable
  // (`${…}`), or NotPrincipal with Allow, as AWS has it.
  static Result<Policy> parse(std::string_view text, PolicyKind kind);
};

// What CreateKey attaches when it is given none: the account, which delegates to its identity policies.
std::string default_key_policy(std::string_view account);
// What a role gets that is given none: whom its account lets by their identity policies.
std::string default_trust_policy(std::string_view account);

}  // namespace cloister::iam
