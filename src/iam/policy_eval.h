// Authorization: explicit deny wins, then allow, else deny ("Policy evaluation logic" of the IAM user guide,
// and "Key policies in AWS KMS" for what the account's root means in one).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "iam/policy.h"
#include "sys/clock.h"

namespace cloister::iam {

// Who asks.
struct Caller {
  std::string arn;            // as messages show it: a user, or the session of a role
  std::string principal_arn;  // the user or the role itself
  std::string account;
  std::optional<Policy> identity_policy;
  std::optional<Policy> session_policy;            // of temporary credentials: what narrows them, if anything
  std::optional<sys::UnixMillis> session_started;  // absent: long-lived credentials
};

// The condition keys of one request; a key that was never set is absent. Names compare without case.
class RequestContext {
 public:
  void set(std::string_view key, std::string value) { values_[to_lower(key)] = {std::move(value)}; }
  void set_list(std::string_view key, std::vector<std::string> values) {
    values_[to_lower(key)] = std::move(values);
  }
  // A register that is all zero: debug mode, or one that nothing was measured into. It opens nothing: an
  // Allow must hold both with this value and without the key, a Deny with either.
  void set_unproven(std::string_view key, std::string value) {
    set(key, std::move(value));
    unproven_.insert(to_lower(key));
  }
  bool is_unproven(const std::string& lower_key) const { return unproven_.contains(lower_key); }
  const std::vector<std::string>* find(const std::string& lower_key) const {
    auto found = values_.find(lower_key);
    return found == values_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::set<std::string> unproven_;
};

struct AccessRequest {
  std::string action;    // "kms:Decrypt"
  std::string resource;  // a key's or an alias's ARN, or "*"
  RequestContext context;
};

// A key and what is attached to it; or a role and its trust policy.
struct KeyGuard {
  std::string account;
  const Policy& policy;
};

// Whether a list covers an action (in lower case) or a resource.
bool matches_any(const Patterns<std::string>& patterns, std::string_view text);

enum class Verdict {
  allowed,
  denied_by_key_policy,       // an explicit Deny
  denied_by_identity_policy,  // an explicit Deny
  denied_by_session_policy,   // an explicit Deny
  no_key_policy_allows,
  no_identity_policy_allows,
  no_session_policy_allows,
};

// key: absent for operations that concern no key (CreateKey, ListKeys…), which identity policies alone
// decide.
Verdict authorize(const Caller& caller, const AccessRequest& request, const std::optional<KeyGuard>& key);

// "User: arn… is not authorized to perform: kms:Decrypt on resource: … because …", as AWS words it.
std::string denial_message(const Caller& caller, const AccessRequest& request, Verdict verdict);

}  // namespace cloister::iam
