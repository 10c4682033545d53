#include "host/key_policy.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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

Result<ImageGrant> grant_of(const json& statement) {
  ImageGrant grant;
  auto images = TRY(condition_values(statement, "StringEqualsIgnoreCase", kImageKey));
  if (images.size() != 1)
    return fail(ErrorKind::corrupt, "statement {} has been changed by hand", sid_of(statement));
  grant.pcr0 = images.front();
  grant.releases = TRY(condition_values(statement, "StringEquals", kReleaseKey));
  grant.names = TRY(condition_values(statement, "StringEquals", kNameKey));
  grant.signers = TRY(condition_values(statement, "StringEquals", kSignerKey));
  if (statement.contains("Principal") && statement["Principal"].is_object() &&
      statement["Principal"].contains("AWS")) {
    grant.principals = TRY(values_of(statement["Principal"]["AWS"]));
    std::erase_if(grant.principals, [](const auto& arn) { return arn.ends_with(":root"); });
  }
  return grant;
}

json deny_unattested(const KeyAccess& access) {
  json statement{{"Sid", kOnlyAttested},
                 {"Effect", "Deny"},
                 {"Principal", "*"},
                 {"Action", "kms:Decrypt"},
                 {"Resource", "*"}};
  json images = json::array();
  for (const auto& grant : access.images) images.push_back(grant.pcr0);
  // Negated operators hold where the key is absent too: a request without an attestation document is denied.
  if (!images.empty()) statement["Condition"] = {{"StringNotEqualsIgnoreCase", {{kImageKey, images}}}};
  return statement;
}

// One Deny for each thing that is restricted: conditions of one statement are joined by "and".
void add_restrictions(json& statements, const ImageGrant& grant) {
  const std::initializer_list<std::tuple<char, const char*, const std::vector<std::string>*>> kinds{
      {'R', kReleaseKey, &grant.releases}, {'N', kNameKey, &grant.names}, {'S', kSignerKey, &grant.signers}};
  for (const auto& [letter, key, allowed] : kinds) {
    if (allowed->empty()) continue;
    statements.push_back(
        {{"Sid", fmt::format("{}{}{}", kRelease, letter, grant.pcr0.substr(0, kSidDigits))},
         {"Effect", "Deny"},
         {"Principal", "*"},
         {"Action", "kms:Decrypt"},
         {"Resource", "*"},
         {"Condition",
          {{"StringEqualsIgnoreCase", {{kImageKey, grant.pcr0}}}, {"StringNotEquals", {{key, *allowed}}}}}});
  }
}

json allow_statement(const ImageGrant& grant, std::string_view account) {
  json principals = grant.principals;
  if (grant.principals.empty()) principals = fmt::format("arn:aws:iam::{}:root", account);
  json conditions{{"StringEqualsIgnoreCase", {{kImageKey, grant.pcr0}}}};
  if (!grant.releases.empty()) conditions["StringEquals"][kReleaseKey] = grant.releases;
  if (!grant.names.empty()) conditions["StringEquals"][kNameKey] = grant.names;
  if (!grant.signers.empty()) conditions["StringEquals"][kSignerKey] = grant.signers;
  return {{"Sid", fmt::format("{}{}", kAllow, grant.pcr0.substr(0, kSidDigits))},
          {"Effect", "Allow"},
          {"Principal", {{"AWS", principals}}},
          {"Action", "kms:Decrypt"},
          {"Resource", "*"},
          {"Condition", conditions}};
}

}  // namespace

Result<KeyAccess> read_access(std::string_view text) {
  auto policy = TRY(parse_policy(text));
  KeyAccess out;
  for (const auto& statement : policy["Statement"]) {
    if (!statement.is_object()) return fail(ErrorKind::corrupt, "the key policy is not a policy document");
    if (sid_of(statement) == kOnlyAttested) out.only_attested = true;
    if (sid_of(statement).starts_with(kAllow)) out.images.push_back(TRY(grant_of(statement)));
  }
  return out;
}

Result<std::string> write_access(std::string_view text, const KeyAccess& access, std::string_view account) {
  auto policy = TRY(parse_policy(text));
  json statements = json::array();
  for (auto& statement : policy["Statement"]) {
    if (!is_ours(statement)) statements.push_back(std::move(statement));
  }
  statements.push_back(deny_unattested(access));
  for (const auto& grant : access.images) {
    add_restrictions(statements, grant);
    statements.push_back(allow_statement(grant, account));
  }
  policy["Statement"] = std::move(statements);
  auto out = policy.dump(2);
  if (out.size() > kMaxPolicy)
    return fail(ErrorKind::exhausted, "the policy would be larger than KMS takes ({} bytes)", kMaxPolicy);
  return out;
}

void allow_image(KeyAccess& access, ImageGrant grant) {
  std::erase_if(access.images, [&](const auto& old) { return old.pcr0 == grant.pcr0; });
  access.images.push_back(std::move(grant));
}

Status revoke_image(KeyAccess& access, std::string_view pcr0) {
  auto gone =
      std::erase_if(access.images, [&](const auto& grant) { return pcr0.empty() || grant.pcr0 == pcr0; });
  if (gone == 0 && !pcr0.empty())
    return fail(ErrorKind::not_found, "the key's policy does not allow image {}", pcr0);
  return {};
}

}  // namespace cloister::host
