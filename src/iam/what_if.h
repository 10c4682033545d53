// What a key policy could let happen when not everything about a request is known. Every question leans to
// the side of the attacker: an Allow counts when it may hold, a Deny only when it surely does. So an answer
// of "not possible" is a proof, and one of "possible" may be too dark.
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

enum class Truth { no, maybe, yes };

// What is supposed of a request's condition keys. Of any other key nothing is known, not even whether it is
// there. Names compare without case; a key's own line wins over that of a prefix.
class Supposition {
 public:
  void is(std::string_view key, std::string value);
  void is_absent(std::string_view key);
  void is_unknown(std::string_view key);
  // There, with one value that no policy spells out.
  void is_other(std::string_view key);
  void all_absent(std::string_view prefix);
  // The request is made then or at any later time.
  void not_before(sys::UnixMillis time) { not_before_ = time; }

  Truth holds(const Condition& condition) const;

 private:
  enum class State { unknown, absent, other, given };
  struct Known {
    State state = State::unknown;
    std::string value;
  };
  Known find(const std::string& lower_key) const;

  std::map<std::string, Known> keys_;
  std::vector<std::string> absent_prefixes_;
  std::optional<sys::UnixMillis> not_before_;
};

// Somebody, or a crowd of whom any one may ask.
struct Subject {
  enum class Kind {
    principal,  // one user, role (all its sessions) or session
    account,    // anyone of this account; empty: of an account that the policy does not name
    service,    // of AWS, or a federated identity
  };
  Kind kind = Kind::account;
  std::string account;
  std::string name;  // ARN of a principal, name of a service
  bool operator==(const Subject&) const = default;
};

// Accounts that stand anywhere in the policy, as principals or in values of conditions.
std::set<std::string> named_accounts(const Policy& policy);
// Whom one principal of a statement stands for. "*": the key's own account, each that the policy names, and
// one that it does not. own: the key's account.
std::vector<Subject> subjects_of(const PrincipalPattern& pattern, const std::set<std::string>& named,
                                 const std::string& own);
// Of an ARN, an account or the name of a service: a grant's grantee.
Subject subject_named(std::string_view text);

struct Question {
  std::string action;    // "kms:Decrypt"
  std::string resource;  // the key's ARN
  Supposition given;     // what is supposed beside what the subject implies
};

// How far a request could get.
struct Prospect {
  bool possible = false;
  // What is not settled by what was supposed: all of these must hold…
  std::vector<const Condition*> must;
  // …and of each of these at least one must not.
  std::vector<std::vector<const Condition*>> must_not;
};

// Whether `allow`, a statement of the policy that covers the subject, could let it through past every Deny.
// nullptr: something outside of the policy allows it, such as a grant.
Prospect prospect(const Policy& policy, const Statement* allow, const Subject& who, const Question& question);

}  // namespace cloister::iam
