#include "host/key_policy.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr std::string_view kOnlyAttested = "CloisterOnlyAttested";
constexpr std::string_view kRelease = "CloisterRelease";
constexpr std::string_view kAllow = "CloisterAllow";
constexpr const char* kImageKey = "kms:RecipientAttestation:ImageSha384";
constexpr const char* kReleaseKey = "kms:EncryptionContext:cloister:release";
constexpr const char* kNameKey = "kms:EncryptionContext:cloister:name";
constexpr const char* kSignerKey = "kms:EncryptionContext:cloister:signer";
constexpr const char* kTimeKey = "aws:CurrentTime";
constexpr std::size_t kSidDigits = 24;  // of the PCR0: Sids are letters and digits, and unique enough

std::string sid_of(const json& statement) {
  auto at = statement.find("Sid");
  return at != statement.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool is_ours(const json& statement) {
  auto sid = sid_of(statement);
  return sid == kOnlyAttested || sid.starts_with(kRelease) || sid.starts_with(kAllow);
}

// IAM writes one value as itself and several as an array.
Result<std::vector<std::string>> values_of(const json& value) {
  std::vector<std::string> out;
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  if (!value.is_array()) return fail(ErrorKind::corrupt, "neither a text nor a list of texts");
  for (const auto& item : value) {
    if (!item.is_string()) return fail(ErrorKind::corrupt, "neither a text nor a list of texts");
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<std::vector<std::string>> condition_values(const json& statement, const char* op, const char* key) {
  auto conditions = statement.find("Condition");
  if (conditions == statement.end() || !conditions->is_object()) return std::vector<std::string>();
  auto by_operator = conditions->find(op);
  if (by_operator == conditions->end() || !by_operator->is_object() || !by_operator->contains(key))
    return std::vector<std::string>();
  return values_of((*by_operator)[key]).context(key);
}

Result<json> parse_policy(std::string_view text) {
  if (text.size() > kMaxPolicy)
    return fail(ErrorKind::corrupt, "the key policy is larger than {} bytes", kMaxPolicy);
  auto policy = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!policy.is_object() || !policy.contains("Statement"))
    return fail(ErrorKind::corrupt, "the key policy is not a policy document");
  if (policy["Statement"].is_object()) policy["Statement"] = json::array({policy["Statement"]});
  if (!policy["Statement"].is_array())
    return fail(ErrorKind::corrupt, "the key policy is not a policy document");
  return policy;
}

Result<ImageGrant> grant_of(const json& statement, std::string_view account) {
  ImageGrant grant;
  auto images = TRY(condition_values(statement, "StringEqualsIgnoreCase", kImageKey));
  auto until = TRY(condition_values(statement, "DateLessThan", kTimeKey));
  if (images.size() != 1 || until.size() > 1)
    return fail(ErrorKind::corrupt, "statement {} has been changed by hand", sid_of(statement));
  grant.pcr0 = images.front();
  if (!until.empty()) grant.until = until.front();
  grant.releases = TRY(condition_values(statement, "StringEquals", kReleaseKey));
  grant.names = TRY(condition_values(statement, "StringEquals", kNameKey));
  grant.signers = TRY(condition_values(statement, "StringEquals", kSignerKey));
  if (statement.contains("Principal") && statement["Principal"].is_object() &&
      statement["Principal"].contains("AWS")) {
    grant.principals = TRY(values_of(statement["Principal"]["AWS"]));
    // The account of the key stands for "nobody in particular". Another account is a principal like any
    // other.
    auto own_root = fmt::format(":iam::{}:root", account);
    std::erase_if(grant.principals, [&](const auto& arn) { return arn.ends_with(own_root); });
  }
  return grant;
}

json deny(std::string sid, json actions) {
  return {{"Sid", std::move(sid)},
          {"Effect", "Deny"},
          {"Principal", "*"},
          {"Action", std::move(actions)},
          {"Resource", "*"}};
}

json deny_unattested(const KeyAccess& access) {
  auto statement = deny(std::string(kOnlyAttested), {"kms:Decrypt", "kms:ReEncryptFrom"});
  json images = json::array();
  for (const auto& grant : access.images) images.push_back(grant.pcr0);
  // Negated operators hold where the key is absent too: a request without an attestation document is denied.
  if (!images.empty()) statement["Condition"] = {{"StringNotEqualsIgnoreCase", {{kImageKey, images}}}};
  return statement;
}

// One Deny for each thing that is restricted: conditions of one statement are joined by "and".
void add_restrictions(json& statements, const ImageGrant& grant) {
  auto restrict = [&](char letter, const char* op, const char* key, const json& values) {
    auto statement =
        deny(fmt::format("{}{}{}", kRelease, letter, grant.pcr0.substr(0, kSidDigits)), "kms:Decrypt");
    statement["Condition"]["StringEqualsIgnoreCase"][kImageKey] = grant.pcr0;
    statement["Condition"][op][key] = values;
    statements.push_back(std::move(statement));
  };
  if (!grant.releases.empty()) restrict('R', "StringNotEquals", kReleaseKey, grant.releases);
  if (!grant.names.empty()) restrict('N', "StringNotEquals", kNameKey, grant.names);
  if (!grant.signers.empty()) restrict('S', "StringNotEquals", kSignerKey, grant.signers);
  if (!grant.until.empty()) restrict('U', "DateGreaterThanEquals", kTimeKey, grant.until);
}

json allow_statement(const ImageGrant& grant, const std::string& root) {
  json principals = grant.principals;
  if (grant.principals.empty()) principals = root;
  json conditions{{"StringEqualsIgnoreCase", {{kImageKey, grant.pcr0}}}};
  if (!grant.releases.empty()) conditions["StringEquals"][kReleaseKey] = grant.releases;
  if (!grant.names.empty()) conditions["StringEquals"][kNameKey] = grant.names;
  if (!grant.signers.empty()) conditions["StringEquals"][kSignerKey] = grant.signers;
  if (!grant.until.empty()) conditions["DateLessThan"][kTimeKey] = grant.until;
  return {{"Sid", fmt::format("{}{}", kAllow, grant.pcr0.substr(0, kSidDigits))},
          {"Effect", "Allow"},
          {"Principal", {{"AWS", principals}}},
          {"Action", "kms:Decrypt"},
          {"Resource", "*"},
          {"Condition", conditions}};
}

// What is not named stays as it is; a first name restricts.
void grow(std::vector<std::string>& list, const std::vector<std::string>& more) {
  for (const auto& one : more) {
    if (std::ranges::find(list, one) == list.end()) list.push_back(one);
  }
}

}  // namespace

Result<KeyAccess> read_access(std::string_view text, std::string_view account) {
  auto policy = TRY(parse_policy(text));
  KeyAccess out;
  for (const auto& statement : policy["Statement"]) {
    if (!statement.is_object()) return fail(ErrorKind::corrupt, "the key policy is not a policy document");
    if (sid_of(statement) == kOnlyAttested)
      out.only_attested = statement.value("Action", json()) == json({"kms:Decrypt", "kms:ReEncryptFrom"});
    if (sid_of(statement).starts_with(kAllow)) out.images.push_back(TRY(grant_of(statement, account)));
  }
  return out;
}

Result<std::string> write_access(std::string_view text, const KeyAccess& access, std::string_view account,
                                 std::string_view partition) {
  auto policy = TRY(parse_policy(text));
  json statements = json::array();
  for (auto& statement : policy["Statement"]) {
    if (!is_ours(statement)) statements.push_back(std::move(statement));
  }
  statements.push_back(deny_unattested(access));
  for (const auto& grant : access.images) {
    add_restrictions(statements, grant);
    statements.push_back(allow_statement(grant, fmt::format("arn:{}:iam::{}:root", partition, account)));
  }
  policy["Statement"] = std::move(statements);
  auto out = policy.dump(2);
  if (out.size() > kMaxPolicy)
    return fail(ErrorKind::exhausted, "the policy would be larger than KMS takes ({} bytes)", kMaxPolicy);
  return out;
}

void allow_image(KeyAccess& access, const ImageGrant& grant) {
  auto old = std::ranges::find(access.images, grant.pcr0, &ImageGrant::pcr0);
  if (old == access.images.end()) {
    access.images.push_back(grant);
    return;
  }
  grow(old->releases, grant.releases);
  grow(old->names, grant.names);
  grow(old->signers, grant.signers);
  grow(old->principals, grant.principals);
  if (!grant.until.empty()) old->until = grant.until;
}

void replace_image(KeyAccess& access, const ImageGrant& grant) {
  std::erase_if(access.images, [&](const auto& old) { return old.pcr0 == grant.pcr0; });
  access.images.push_back(grant);
}

Status revoke_image(KeyAccess& access, std::string_view pcr0) {
  auto gone =
      std::erase_if(access.images, [&](const auto& grant) { return pcr0.empty() || grant.pcr0 == pcr0; });
  if (gone == 0 && !pcr0.empty())
    return fail(ErrorKind::not_found, "the key's policy does not allow image {}", pcr0);
  return {};
}

Status revoke_release(KeyAccess& access, std::string_view pcr0, std::string_view release) {
  std::size_t gone = 0;
  for (auto& grant : access.images) {
    if (!pcr0.empty() && grant.pcr0 != pcr0) continue;
    if (grant.releases.empty()) {
      Error error(ErrorKind::invalid, fmt::format("image {} may open every release", grant.pcr0));
      return std::unexpected(std::move(error).with_hint(
          "list those that it may open: cloister key revoke --image, then key allow --image with --release"));
    }
    gone += std::erase(grant.releases, release);
  }
  if (gone == 0) return fail(ErrorKind::not_found, "the key's policy does not list release {}", release);
  // An empty list would mean every release; of an image that was not asked about it does.
  std::erase_if(access.images, [&](const auto& grant) {
    return (pcr0.empty() || grant.pcr0 == pcr0) && grant.releases.empty();
  });
  return {};
}

Result<std::string> policy_time(std::string_view text) {
  std::string whole(text);
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* end = ::strptime(whole.c_str(), format, &parts);
    if (end == nullptr || *end != '\0' || whole.size() < 10) continue;
    std::array<char, 32> out{};
    auto size = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return std::string(out.data(), size);
  }
  return fail(ErrorKind::invalid, "'{}' is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z",
              escape_controls(text));
}

IamPolicies iam_policies(std::string_view key_arn) {
  auto policy = [&](const char* sid, const json& actions) {
    json statement{{"Sid", sid}, {"Effect", "Allow"}, {"Action", actions}, {"Resource", key_arn}};
    return json{{"Version", "2012-10-17"}, {"Statement", {statement}}}.dump(2);
  };
  return {.owner = policy("CloisterEncrypt", {"kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}),
          .host = policy("CloisterDecrypt", "kms:Decrypt")};
}

}  // namespace cloister::host
