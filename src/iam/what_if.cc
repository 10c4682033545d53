#include "iam/what_if.h"

#include <algorithm>

#include "iam/policy_date.h"
#include "iam/policy_eval.h"

namespace cloister::iam {

namespace {

constexpr std::size_t kAccountDigits = 12;
// A session of a role is told by the role's name alone, without its path.
constexpr std::string_view kAssumedRole = ":assumed-role/";

Truth certain(bool truth) {
  return truth ? Truth::yes : Truth::no;
}
Truth opposite(Truth truth) {
  return truth == Truth::maybe ? truth : certain(truth == Truth::no);
}

bool only_stars(std::string_view text) {
  return !text.empty() && text.find_first_not_of('*') == std::string_view::npos;
}
bool has_wildcards(std::string_view text) {
  return text.find_first_of("*?") != std::string_view::npos;
}

// A value that nobody spelled out equals nothing, and a pattern may cover it.
Truth other_matches(const ConditionOperator& comparison, const std::vector<std::string>& wanted) {
  switch (comparison.comparison) {
    case Comparison::string_equals:
    case Comparison::string_equals_ignore_case:
    case Comparison::binary:
      return Truth::no;
    case Comparison::string_like:
    case Comparison::arn_like:
      if (std::ranges::any_of(wanted, only_stars)) return Truth::yes;
      return std::ranges::any_of(wanted, has_wildcards) ? Truth::maybe : Truth::no;
    default:
      return Truth::maybe;
  }
}

Truth holds_of_other(const Condition& condition) {
  const auto& comparison = condition.comparison;
  if (comparison.comparison == Comparison::null) {
    std::vector<std::string> present{""};
    return certain(comparison.holds(&present, condition.values));
  }
  auto matches = other_matches(comparison, condition.values);
  return comparison.negated ? opposite(matches) : matches;
}

// One bound, for every moment from `now` on: time only goes forward.
Truth from_now_on(Order order, double now, double bound) {
  switch (order) {
    case Order::less:
      return bound <= now ? Truth::no : Truth::maybe;
    case Order::less_or_equal:
    case Order::equal:
      return bound < now ? Truth::no : Truth::maybe;
    case Order::greater:
      return bound < now ? Truth::yes : Truth::maybe;
    case Order::greater_or_equal:
      return bound <= now ? Truth::yes : Truth::maybe;
  }
  return Truth::maybe;
}

Truth holds_of_time(const Condition& condition, sys::UnixMillis not_before) {
  const auto& comparison = condition.comparison;
  bool ordered = comparison.comparison == Comparison::date || comparison.comparison == Comparison::numeric;
  if (!ordered) return Truth::maybe;
  auto out = Truth::no;
  for (const auto& value : condition.values) {
    auto bound = parse_policy_date(value);
    auto one =
        bound ? from_now_on(comparison.order, static_cast<double>(not_before) / 1000, *bound) : Truth::maybe;
    out = std::max(out, one);
  }
  return comparison.negated ? opposite(out) : out;
}

}  // namespace

void Supposition::is(std::string_view key, std::string value) {
  keys_[to_lower(key)] = {State::given, std::move(value)};
}
void Supposition::is_absent(std::string_view key) {
  keys_[to_lower(key)] = {State::absent, {}};
}
void Supposition::is_unknown(std::string_view key) {
  keys_[to_lower(key)] = {State::unknown, {}};
}
void Supposition::is_other(std::string_view key) {
  keys_[to_lower(key)] = {State::other, {}};
}
void Supposition::all_absent(std::string_view prefix) {
  absent_prefixes_.push_back(to_lower(prefix));
}

Supposition::Known Supposition::find(const std::string& lower_key) const {
  if (auto own = keys_.find(lower_key); own != keys_.end()) return own->second;
  bool absent = std::ranges::any_of(absent_prefixes_,
                                    [&](const auto& prefix) { return lower_key.starts_with(prefix); });
  return {absent ? State::absent : State::unknown, {}};
}

Truth Supposition::holds(const Condition& condition) const {
  auto known = find(condition.key);
  switch (known.state) {
    case State::absent:
      return certain(condition.comparison.holds(nullptr, condition.values));
    case State::given: {
      std::vector<std::string> values{known.value};
      return certain(condition.comparison.holds(&values, condition.values));
    }
    case State::other:
      return holds_of_other(condition);
    case State::unknown:
      break;
  }
  bool time = condition.key == "aws:currenttime" || condition.key == "aws:epochtime";
  return time && not_before_ ? holds_of_time(condition, *not_before_) : Truth::maybe;
}

namespace {

// Every run of exactly twelve digits: in an ARN, or alone.
void add_accounts(std::string_view text, std::set<std::string>& out) {
  constexpr std::string_view kDigits = "0123456789";
  for (std::size_t at = text.find_first_of(kDigits); at != std::string_view::npos;) {
    auto end = std::min(text.find_first_not_of(kDigits, at), text.size());
    if (end - at == kAccountDigits) out.emplace(text.substr(at, end - at));
    at = text.find_first_of(kDigits, end);
  }
}

std::string account_of(std::string_view arn) {
  constexpr int kPartsBefore = 4;  // arn:partition:service:region:
  for (int part = 0; part < kPartsBefore; ++part) {
    auto colon = arn.find(':');
    if (colon == std::string_view::npos) return {};
    arn.remove_prefix(colon + 1);
  }
  return std::string(arn.substr(0, arn.find(':')));
}

bool is_session(const Subject& who) {
  return who.kind == Subject::Kind::principal && who.name.find(kAssumedRole) != std::string::npos;
}

void suppose(Supposition& given, const Subject& who) {
  if (who.kind == Subject::Kind::service) return;
  given.is("aws:PrincipalIsAWSService", "false");
  for (const char* key : {"kms:CallerAccount", "aws:PrincipalAccount"}) {
    if (who.account.empty())
      given.is_other(key);
    else
      given.is(key, who.account);
  }
  if (who.kind == Subject::Kind::principal && !is_session(who)) given.is("aws:PrincipalArn", who.name);
}

using Kind = PrincipalPattern::Kind;

Truth covers(const PrincipalPattern& pattern, const Subject& who) {
  switch (pattern.kind) {
    case Kind::anyone:
      return Truth::yes;
    case Kind::account:
      return certain(pattern.value == who.account);
    case Kind::arn:
      if (who.kind == Subject::Kind::principal && pattern.value == who.name) return Truth::yes;
      break;
    case Kind::gone:
      return Truth::no;
    case Kind::foreign:
      return certain(who.kind == Subject::Kind::service && pattern.value == who.name);
  }
  // One of an account's principals, or a session beside its role.
  return account_of(pattern.value) == who.account ? Truth::maybe : Truth::no;
}

// NotPrincipal: somebody is denied unless account, role and session are all excepted.
Truth covers_inverted(const std::vector<PrincipalPattern>& excepted, const Subject& who) {
  auto names = [&](Kind kind, const std::string& value) {
    return std::ranges::any_of(excepted,
                               [&](const auto& entry) { return entry.kind == kind && entry.value == value; });
  };
  if (std::ranges::any_of(excepted, [](const auto& entry) { return entry.kind == Kind::anyone; }))
    return Truth::no;
  if (who.kind == Subject::Kind::service) return Truth::maybe;
  if (!names(Kind::account, who.account)) return Truth::yes;
  bool whole = who.kind != Subject::Kind::principal || names(Kind::arn, who.name);
  // A session is excepted only together with its role, whose path is not known here.
  return whole || is_session(who) ? Truth::maybe : Truth::yes;
}

Truth covers(const Statement& statement, const Subject& who) {
  if (statement.principals.inverted) return covers_inverted(statement.principals.entries, who);
  auto out = Truth::no;
  for (const auto& entry : statement.principals.entries) out = std::max(out, covers(entry, who));
  return out;
}

bool speaks_of(const Statement& statement, const Question& question) {
  return matches_any(statement.actions, to_lower(question.action)) &&
         matches_any(statement.resources, question.resource);
}

// no: at least one condition surely does not hold. open: those that may or may not.
Truth conditions(const Statement& statement, const Supposition& given, std::vector<const Condition*>& open) {
  for (const auto& condition : statement.conditions) {
    auto holds = given.holds(condition);
    if (holds == Truth::no) return Truth::no;
    if (holds == Truth::maybe) open.push_back(&condition);
  }
  return open.empty() ? Truth::yes : Truth::maybe;
}

}  // namespace

std::set<std::string> named_accounts(const Policy& policy) {
  std::set<std::string> out;
  for (const auto& statement : policy.statements) {
    for (const auto& entry : statement.principals.entries) add_accounts(entry.value, out);
    for (const auto& condition : statement.conditions) {
      for (const auto& value : condition.values) add_accounts(value, out);
    }
  }
  return out;
}

std::vector<Subject> subjects_of(const PrincipalPattern& pattern, const std::set<std::string>& named,
                                 const std::string& own) {
  std::vector<Subject> out;
  switch (pattern.kind) {
    case Kind::anyone:
      out.push_back({Subject::Kind::account, own, {}});
      for (const auto& account : named) {
        if (account != own) out.push_back({Subject::Kind::account, account, {}});
      }
      out.push_back({Subject::Kind::account, {}, {}});
      break;
    case Kind::account:
      out.push_back({Subject::Kind::account, pattern.value, {}});
      break;
    case Kind::arn:
      out.push_back({Subject::Kind::principal, account_of(pattern.value), pattern.value});
      break;
    case Kind::foreign:
      out.push_back({Subject::Kind::service, {}, pattern.value});
      break;
    case Kind::gone:
      break;
  }
  return out;
}

Subject subject_named(std::string_view text) {
  auto account = account_of(text);
  if (text.ends_with(":root") && !account.empty()) return {Subject::Kind::account, account, {}};
  if (!account.empty()) return {Subject::Kind::principal, account, std::string(text)};
  std::set<std::string> alone;
  if (text.size() == kAccountDigits) add_accounts(text, alone);
  if (!alone.empty()) return {Subject::Kind::account, *alone.begin(), {}};
  return {Subject::Kind::service, {}, std::string(text)};
}

Prospect prospect(const Policy& policy, const Statement* allow, const Subject& who,
                  const Question& question) {
  auto given = question.given;
  suppose(given, who);
  Prospect out;
  if (allow != nullptr && !speaks_of(*allow, question)) return {};
  if (allow != nullptr && conditions(*allow, given, out.must) == Truth::no) return {};
  for (const auto& statement : policy.statements) {
    if (statement.effect != Effect::deny || !speaks_of(statement, question)) continue;
    auto whom = covers(statement, who);
    std::vector<const Condition*> open;
    auto holds = conditions(statement, given, open);
    if (whom == Truth::no || holds == Truth::no) continue;
    if (whom == Truth::yes && holds == Truth::yes) return {};
    if (whom == Truth::yes) out.must_not.push_back(std::move(open));
  }
  out.possible = true;
  return out;
}

}  // namespace cloister::iam
