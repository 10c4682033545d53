#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "http/json.h"
#include "iam/policy.h"

namespace cloister::iam {

namespace {

using json = http::Json;

constexpr std::size_t kAccountDigits = 12;
constexpr unsigned kHighestPcr = 31;
constexpr unsigned kHighestTpmPcr = 23;
constexpr std::string_view kPcrPrefix = "kms:recipientattestation:pcr";
constexpr std::string_view kTpmPcrPrefix = "kms:recipientattestation:nitrotpmpcr";  // of no document of ours
constexpr std::string_view kContextPrefix = "kms:encryptioncontext:";
constexpr std::string_view kVersion2012 = "2012-10-17";

// "Condition keys for AWS Key Management Service" of the service authorization reference, in lower case. A
// key of ours that is not among them is a slip of the pen, and with a negated operator it would always hold.
constexpr std::string_view kKmsConditionKeys[] = {
    "kms:bypasspolicylockoutsafetycheck",
    "kms:calleraccount",
    "kms:customermasterkeyspec",
    "kms:customermasterkeyusage",
    "kms:datakeypairspec",
    "kms:encryptionalgorithm",
    "kms:encryptioncontextkeys",
    "kms:expirationmodel",
    "kms:grantconstrainttype",
    "kms:granteeprincipal",
    "kms:grantisforawsresource",
    "kms:grantoperations",
    "kms:keyagreementalgorithm",
    "kms:keyorigin",
    "kms:keyspec",
    "kms:keyusage",
    "kms:macalgorithm",
    "kms:messagetype",
    "kms:multiregion",
    "kms:multiregionkeytype",
    "kms:primaryregion",
    "kms:recipientattestation:imagesha384",
    "kms:reencryptonsamekey",
    "kms:replicaregion",
    "kms:requestalias",
    "kms:resourcealiases",
    "kms:retiringprincipal",
    "kms:rotationperiodindays",
    "kms:schedulekeydeletionpendingwindowindays",
    "kms:signingalgorithm",
    "kms:validto",
    "kms:viaservice",
    "kms:wrappingalgorithm",
    "kms:wrappingkeyspec",
};

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}
bool is_account(std::string_view text) {
  return text.size() == kAccountDigits && all_digits(text);
}

bool is_partition(std::string_view text) {
  return text == "aws" || text == "aws-cn" || text == "aws-us-gov";
}

Status check_variables(std::string_view text) {
  if (text.find("${") != std::string_view::npos)
    return fail(ErrorKind::invalid, "policy variables (${{…}}) are not supported: write the value itself");
  return {};
}

// A string, or a list of them.
Result<std::vector<std::string>> parse_strings(const json& value, std::string_view what) {
  std::vector<std::string> out;
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  if (!value.is_array() || value.empty())
    return fail(ErrorKind::invalid, "{} is neither text nor a list of texts", what);
  if (value.size() > kMaxPolicyListEntries) return fail(ErrorKind::invalid, "{} has too many entries", what);
  for (const auto& entry : value) {
    if (!entry.is_string()) return fail(ErrorKind::invalid, "{} holds an entry that is not text", what);
    out.push_back(entry.get<std::string>());
  }
  return out;
}

// "AIDA…", "AROA…" ("IAM identifiers" of the IAM user guide, unique identifiers).
bool is_unique_id(std::string_view text) {
  constexpr std::size_t kShortest = 16;
  constexpr std::size_t kLongest = 128;
  return text.size() >= kShortest && text.size() <= kLongest && text.starts_with('A') &&
         std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); });
}

// Six parts; only iam and sts name principals, and AWS takes no wildcards in them.
Result<PrincipalPattern> parse_aws_principal(const std::string& text, PolicyKind policy) {
  using Kind = PrincipalPattern::Kind;
  if (text == "*") return PrincipalPattern{Kind::anyone, {}};
  if (is_account(text)) return PrincipalPattern{Kind::account, text};
  if (policy == PolicyKind::kept_key && is_unique_id(text)) return PrincipalPattern{Kind::gone, text};
  auto invalid = [] { return fail(ErrorKind::invalid, "a statement names an invalid principal"); };
  if (text.find_first_of("*?") != std::string::npos) return invalid();
  std::string_view rest = text;
  std::string_view parts[5];
  for (auto& part : parts) {
    auto colon = rest.find(':');
    if (colon == std::string_view::npos) return invalid();
    part = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
  }
  bool iam = parts[2] == "iam";
  if (parts[0] != "arn" || !is_partition(parts[1]) || !parts[3].empty() || !is_account(parts[4]))
    return invalid();
  if (iam && rest == "root") return PrincipalPattern{Kind::account, std::string(parts[4])};
  bool known =
      (iam && (rest.starts_with("user/") || rest.starts_with("role/"))) ||
      (parts[2] == "sts" && (rest.starts_with("assumed-role/") || rest.starts_with("federated-user/")));
  if (!known || rest.ends_with('/')) return invalid();
  return PrincipalPattern{Kind::arn, text};
}

Result<std::vector<PrincipalPattern>> parse_principals(const json& value, PolicyKind policy) {
  using Kind = PrincipalPattern::Kind;
  std::vector<PrincipalPattern> out;
  if (value.is_string() && value.get<std::string>() == "*")
    return std::vector{PrincipalPattern{Kind::anyone, {}}};
  if (!value.is_object() || value.empty())
    return fail(ErrorKind::invalid, "Principal is neither \"*\" nor an object");
  for (const auto& [type, names] : value.items()) {
    auto texts = TRY(parse_strings(names, "Principal"));
    if (type != "AWS" && type != "Service" && type != "Federated" && type != "CanonicalUser") {
      return fail(ErrorKind::invalid, "unknown kind of principal");
    }
    for (const auto& text : texts) {
      TRY(check_variables(text));
      out.push_back(type == "AWS" ? TRY(parse_aws_principal(text, policy))
                                  : PrincipalPattern{Kind::foreign, text});
    }
  }
  return out;
}

Result<std::vector<std::string>> parse_actions(const json& value) {
  auto out = TRY(parse_strings(value, "Action"));
  for (auto& action : out) {
    TRY(check_variables(action));
    auto colon = action.find(':');
    auto service = action.substr(0, colon);
    bool shaped = action == "*" || (colon != std::string::npos && colon > 0 && colon + 1 < action.size() &&
                                    service.find_first_of("*?") == std::string::npos);
    if (!shaped) return fail(ErrorKind::invalid, "an action is not of the form service:Name");
    action = to_lower(action);
  }
  return out;
}

Result<std::vector<std::string>> parse_resources(const json& value) {
  auto out = TRY(parse_strings(value, "Resource"));
  for (const auto& resource : out) {
    TRY(check_variables(resource));
    if (resource != "*" && !resource.starts_with("arn:")) {
      return fail(ErrorKind::invalid, "a resource is neither \"*\" nor an ARN");
    }
  }
  return out;
}

bool is_known_pcr(std::string_view number, unsigned highest) {
  unsigned index = highest + 1;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
  bool whole = error == std::errc() && end == number.data() + number.size();
  return whole && index <= highest && (number.size() == 1 || number[0] != '0');
}

Status check_condition_key(std::string_view key) {
  auto colon = key.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == key.size()) {
    return fail(ErrorKind::invalid, "a condition key is not of the form service:Name");
  }
  if (!key.starts_with("kms:")) return {};
  if (key.starts_with(kContextPrefix) && key.size() > kContextPrefix.size()) return {};
  if (key.starts_with(kPcrPrefix) && is_known_pcr(key.substr(kPcrPrefix.size()), kHighestPcr)) return {};
  if (key.starts_with(kTpmPcrPrefix) && is_known_pcr(key.substr(kTpmPcrPrefix.size()), kHighestTpmPcr))
    return {};
  if (std::find(std::begin(kKmsConditionKeys), std::end(kKmsConditionKeys), key) !=
      std::end(kKmsConditionKeys))
    return {};
  return fail(ErrorKind::invalid, "unknown condition key {}", key);
}

// Booleans and numbers are taken as their text.
Result<std::vector<std::string>> parse_condition_values(const json& value) {
  json list = value.is_array() ? value : json::array({value});
  if (list.empty()) return fail(ErrorKind::invalid, "a condition has no values");
  if (list.size() > kMaxPolicyListEntries) return fail(ErrorKind::invalid, "a condition has too many values");
  std::vector<std::string> out;
  for (const auto& entry : list) {
    if (!entry.is_string() && !entry.is_boolean() && !entry.is_number()) {
      return fail(ErrorKind::invalid, "a condition value is not a scalar");
    }
    out.push_back(entry.is_string() ? entry.get<std::string>() : std::string(entry.dump()));
  }
  return out;
}

Result<std::vector<Condition>> parse_conditions(const json& value) {
  std::vector<Condition> out;
  if (!value.is_object()) return fail(ErrorKind::invalid, "Condition is not an object");
  for (const auto& [name, keys] : value.items()) {
    auto comparison = TRY(ConditionOperator::parse(name));
    if (!keys.is_object() || keys.empty())
      return fail(ErrorKind::invalid, "{} holds no condition keys", name);
    std::set<std::string> seen;
    for (const auto& [key, values] : keys.items()) {
      auto wanted = TRY(parse_condition_values(values));
      Condition condition{comparison, to_lower(key), std::move(wanted)};
      TRY(check_condition_key(condition.key));
      if (!seen.insert(condition.key).second)
        return fail(ErrorKind::invalid, "{} names a condition key twice", name);
      for (const auto& text : condition.values) {
        TRY(check_variables(text));
        TRY(comparison.check_value(text));
      }
      out.push_back(std::move(condition));
    }
  }
  return out;
}

// Exactly one of Name and NotName. nullptr: neither.
Result<std::pair<const json*, bool>> either(const json& object, const char* name, const char* inverted) {
  bool has = object.contains(name);
  bool has_inverted = object.contains(inverted);
  if (has && has_inverted) return fail(ErrorKind::invalid, "a statement has both {} and {}", name, inverted);
  if (has) return std::pair{&object.at(name), false};
  if (has_inverted) return std::pair{&object.at(inverted), true};
  return std::pair<const json*, bool>{nullptr, false};
}

Status check_elements(const json& object, std::initializer_list<std::string_view> known,
                      std::string_view what) {
  if (!object.is_object()) return fail(ErrorKind::invalid, "{} is not an object", what);
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return fail(ErrorKind::invalid, "{} has an unknown element", what);
    }
  }
  return {};
}

Result<Effect> parse_effect(const json& object) {
  auto effect = object.find("Effect");
  if (effect != object.end() && *effect == "Allow") return Effect::allow;
  if (effect != object.end() && *effect == "Deny") return Effect::deny;
  return fail(ErrorKind::invalid, "a statement's Effect is neither Allow nor Deny");
}

Status parse_who(const json& object, PolicyKind kind, Statement& out) {
  auto [principals, not_these] = TRY(either(object, "Principal", "NotPrincipal"));
  if ((principals != nullptr) != (kind != PolicyKind::identity)) {
    return fail(ErrorKind::invalid, "{}",
                kind == PolicyKind::identity ? "an identity policy names a principal"
                                             : "a statement names no principal");
  }
  if (not_these && (out.effect == Effect::allow || kind == PolicyKind::trust))
    return fail(ErrorKind::invalid, "NotPrincipal stands in a Deny of a key policy only");
  if (principals != nullptr) out.principals = {not_these, TRY(parse_principals(*principals, kind))};
  return {};
}

Status parse_what(const json& object, PolicyKind kind, Statement& out) {
  auto [actions, not_actions] = TRY(either(object, "Action", "NotAction"));
  if (actions == nullptr) return fail(ErrorKind::invalid, "a statement has no Action");
  out.actions = {not_actions, TRY(parse_actions(*actions))};
  auto [resources, not_resources] = TRY(either(object, "Resource", "NotResource"));
  if (kind == PolicyKind::trust) {
    if (resources != nullptr) return fail(ErrorKind::invalid, "a trust policy names a resource");
    out.resources = {false, {"*"}};  // the role that it is attached to
    return {};
  }
  if (resources == nullptr) return fail(ErrorKind::invalid, "a statement has no Resource");
  out.resources = {not_resources, TRY(parse_resources(*resources))};
  return {};
}

Result<Statement> parse_statement(const json& object, PolicyKind kind) {
  TRY(check_elements(object,
                     {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource",
                      "NotResource", "Condition"},
                     "a statement"));
  Statement out;
  if (object.contains("Sid")) {
    if (!object.at("Sid").is_string()) return fail(ErrorKind::invalid, "a Sid is not text");
    out.sid = object.at("Sid").get<std::string>();
  }
  out.effect = TRY(parse_effect(object));
  TRY(parse_who(object, kind, out));
  TRY(parse_what(object, kind, out));
  if (object.contains("Condition")) out.conditions = TRY(parse_conditions(object.at("Condition")));
  return out;
}

Status check_head(const json& document) {
  TRY(check_elements(document, {"Version", "Id", "Statement"}, "the policy"));
  if (document.contains("Version") && document.at("Version") != kVersion2012 &&
      document.at("Version") != "2008-10-17") {
    return fail(ErrorKind::invalid, "unknown policy version");
  }
  if (document.contains("Id") && !document.at("Id").is_string())
    return fail(ErrorKind::invalid, "Id is not text");
  if (!document.contains("Statement")) return fail(ErrorKind::invalid, "the policy has no Statement");
  return {};
}

}  // namespace

Result<Policy> Policy::parse(std::string_view text, PolicyKind kind) {
  if (text.size() > kMaxPolicyBytes)
    return fail(ErrorKind::invalid, "the policy is longer than {} bytes", kMaxPolicyBytes);
  auto document = TRY(http::parse_json(text));
  TRY(check_head(document));
  const auto& statement = document.at("Statement");
  json list = statement.is_array() ? statement : json::array({statement});
  if (list.empty() || list.size() > kMaxPolicyStatements) {
    return fail(ErrorKind::invalid, "a policy has 1 to {} statements", kMaxPolicyStatements);
  }
  Policy out;
  std::set<std::string> sids;
  for (const auto& object : list) {
    out.statements.push_back(TRY(parse_statement(object, kind)));
    const auto& sid = out.statements.back().sid;
    if (!sid.empty() && !sids.insert(sid).second)
      return fail(ErrorKind::invalid, "two statements have the same Sid");
  }
  return out;
}

std::string default_key_policy(std::string_view account) {
  nlohmann::ordered_json statement = {{"Sid", "Enable IAM User Permissions"},
                                      {"Effect", "Allow"},
                                      {"Principal", {{"AWS", fmt::format("arn:aws:iam::{}:root", account)}}},
                                      {"Action", "kms:*"},
                                      {"Resource", "*"}};
  nlohmann::ordered_json policy = {{"Version", kVersion2012},
                                   {"Id", "key-default-1"},
                                   {"Statement", nlohmann::ordered_json::array({statement})}};
  return policy.dump(2);
}

std::string default_trust_policy(std::string_view account) {
  nlohmann::ordered_json statement = {{"Effect", "Allow"},
                                      {"Principal", {{"AWS", fmt::format("arn:aws:iam::{}:root", account)}}},
                                      {"Action", "sts:AssumeRole"}};
  nlohmann::ordered_json policy = {{"Version", kVersion2012},
                                   {"Statement", nlohmann::ordered_json::array({statement})}};
  return policy.dump();
}

}  // namespace cloister::iam
