#include "host/key_findings.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "host/key_policy.h"
#include "iam/policy_eval.h"

namespace cloister::host {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kAccount = "111122223333";
constexpr const char* kKey = "arn:aws:kms:eu-west-1:111122223333:key/0a0b0c0d-0000-4000-8000-000000000001";
constexpr sys::UnixMillis kNow = 1780315200000;  // 2026-06-01T12:00:00Z
const std::string kImageA(96, 'a');
const std::string kImageB(96, 'b');

void replace_all(std::string& text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

json load_table() {
  std::ifstream file(CLOISTER_TEST_DATA "/key_policies.json");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  replace_all(text, "@A", kImageA);
  replace_all(text, "@B", kImageB);
  replace_all(text, "@0", std::string(96, '0'));
  replace_all(text, "@S", to_hex(as_bytes("simulate")) + std::string(80, '7'));
  return json::parse(text);
}

KeyFacts facts_with(std::string policy) {
  KeyFacts out;
  out.key.arn = kKey;
  out.key.account = kAccount;
  out.policy = std::move(policy);
  out.now = kNow;
  return out;
}

KeyFacts facts_of(const json& table, const json& row) {
  auto statements = row["statements"];
  auto whole = [&](json& statement) {
    if (statement.is_string()) statement = table["named"][statement.get<std::string>()];
  };
  whole(statements);
  if (statements.is_array())
    for (auto& statement : statements) whole(statement);
  auto out = facts_with(json{{"Version", "2012-10-17"}, {"Statement", statements}}.dump());
  out.grants_unknown = row.value("grants_unknown", "");
  out.key.origin = row.value("origin", "AWS_KMS");
  if (row.contains("regions")) {
    out.key.multi_region = true;
    out.key.primary_region = row["regions"][0];
    out.key.replica_regions = {row["regions"].begin() + 1, row["regions"].end()};
  }
  if (row.contains("grants"))
    out.grants = kms::ListGrantsResponse::parse(json{{"Grants", row["grants"]}}.dump()).value().grants;
  return out;
}

std::vector<std::string> codes(const KeyJudgement& judgement, Severity severity) {
  std::vector<std::string> out;
  for (const auto& finding : judgement.findings) {
    if (finding.severity == severity)
      out.push_back(finding.code + (finding.statement.empty() ? "" : " " + finding.statement));
  }
  std::ranges::sort(out);
  return out;
}

bool warns(const KeyJudgement& judgement, std::string_view code) {
  return std::ranges::any_of(judgement.findings, [&](const auto& finding) {
    return finding.severity == Severity::warning && finding.code == code;
  });
}

TEST(KeyFindings, OfEachPolicyOfTheTable) {
  auto table = load_table();
  ASSERT_GE(table["rows"].size(), 35u);
  for (const auto& row : table["rows"]) {
    SCOPED_TRACE(row["why"].get<std::string>());
    auto judgement = judge_key(facts_of(table, row));
    EXPECT_EQ(codes(judgement, Severity::warning), row["warnings"].get<std::vector<std::string>>());
    EXPECT_EQ(codes(judgement, Severity::note), row["notes"].get<std::vector<std::string>>());
    EXPECT_EQ(judgement.judged, !warns(judgement, "unparsable"));
  }
}

// --- the abstraction against the evaluator ---------------------------------------------------------------

iam::Caller caller_of(const std::string& arn, const std::string& account) {
  iam::Caller out{.arn = arn, .principal_arn = arn, .account = account};
  if (arn.find(":assumed-role/") != std::string::npos)
    out.principal_arn = "arn:aws:iam::" + account + ":role/host";
  out.identity_policy = iam::Policy::parse(R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})",
                                           iam::PolicyKind::identity)
                            .value();
  return out;
}

// Whom the policy names, and somebody of each account, and a stranger.
std::vector<iam::Caller> callers_of(const iam::Policy& policy) {
  std::vector<iam::Caller> out;
  auto accounts = iam::named_accounts(policy);
  accounts.insert({kAccount, "555566667777"});
  for (const auto& account : accounts) {
    for (const char* name : {":user/nobody-named", ":role/host", ":role/admin"})
      out.push_back(caller_of("arn:aws:iam::" + account + name, account));
  }
  for (const auto& statement : policy.statements) {
    for (const auto& entry : statement.principals.entries) {
      if (entry.kind == iam::PrincipalPattern::Kind::arn)
        out.push_back(caller_of(entry.value, iam::subject_named(entry.value).account));
    }
  }
  return out;
}

// A request without a document, in which the other keys that the policy asks for are absent (variant 0),
// something else (1), or the values that it names.
iam::AccessRequest request_of(const iam::Policy& policy, const iam::Caller& caller, const char* action,
                              std::size_t variant) {
  iam::AccessRequest out{action, kKey, {}};
  for (const auto& statement : policy.statements) {
    for (const auto& condition : statement.conditions) {
      if (is_attestation(condition) || variant == 0) continue;
      auto value =
          variant == 1 ? "something else" : condition.values[(variant - 2) % condition.values.size()];
      if (value == "192.0.2.0/24") value = "192.0.2.1";
      out.context.set(condition.key, value);
    }
  }
  out.context.set("aws:PrincipalArn", caller.principal_arn);
  out.context.set("aws:PrincipalAccount", caller.account);
  out.context.set("kms:CallerAccount", caller.account);
  out.context.set("aws:CurrentTime", variant % 2 == 0 ? "2026-06-01T12:00:00Z" : "2040-01-01T00:00:00Z");
  return out;
}

bool anyone_may(const iam::Policy& policy, const char* action, bool with_document) {
  for (const auto& caller : callers_of(policy)) {
    for (std::size_t variant = 0; variant < 5; ++variant) {
      auto request = request_of(policy, caller, action, variant);
      const std::string strange(96, 'c');
      for (const char* name : {"ImageSha384", "PCR0", "PCR1", "PCR2", "PCR3", "PCR4", "PCR8"}) {
        if (with_document) request.context.set("kms:RecipientAttestation:" + std::string(name), strange);
      }
      if (authorize(caller, request, iam::KeyGuard{kAccount, policy}) == iam::Verdict::allowed) return true;
    }
  }
  return false;
}

TEST(KeyFindings, WhatTheEvaluatorAllowsIsFound) {
  auto table = load_table();
  int allowed = 0;
  for (const auto& row : table["rows"]) {
    SCOPED_TRACE(row["why"].get<std::string>());
    auto facts = facts_of(table, row);
    auto policy = iam::Policy::parse(facts.policy, iam::PolicyKind::kept_key);
    if (!policy) continue;
    auto judgement = judge_key(facts);
    bool decrypts = anyone_may(*policy, "kms:Decrypt", false);
    allowed += decrypts ? 1 : 0;
    if (decrypts) {
      EXPECT_TRUE(warns(judgement, "decrypt-without-attestation"));
      EXPECT_TRUE(warns(judgement, "no-deny"));
    }
    if (anyone_may(*policy, "kms:ReEncryptFrom", false)) {
      EXPECT_TRUE(warns(judgement, "re-encrypt-from"));
    }
    if (!decrypts && anyone_may(*policy, "kms:Decrypt", true)) {
      EXPECT_TRUE(warns(judgement, "any-image") || warns(judgement, "decrypt-without-attestation"));
    }
  }
  EXPECT_GE(allowed, 20);  // else the requests are not what the policies ask for
}

// --- policies of our own ---------------------------------------------------------------------------------

constexpr const char* kDefault =
    R"({"Version":"2012-10-17","Statement":{"Sid":"Root","Effect":"Allow","Action":"kms:*","Resource":"*",
        "Principal":{"AWS":"arn:aws:iam::111122223333:root"}}})";
const std::vector<std::string> kOwnNotes{"create-grant Root", "iam-delegated Root", "put-key-policy Root"};

KeyJudgement judge_access(const KeyAccess& access) {
  return judge_key(facts_with(*write_access(kDefault, access, kAccount)));
}

TEST(KeyFindings, WhatWeWriteIsWithoutWarning) {
  KeyAccess access;
  auto created = judge_access(access);
  EXPECT_THAT(codes(created, Severity::warning), IsEmpty());
  EXPECT_EQ(codes(created, Severity::note), kOwnNotes);
  EXPECT_THAT(created.openings, IsEmpty());

  allow_image(access, {.pcr0 = kImageA,
                       .principals = {"arn:aws:iam::111122223333:role/host"},
                       .releases = {"1", "2"},
                       .names = {"ocr"},
                       .signers = {"f1"},
                       .until = "2027-01-31T00:00:00Z"});
  allow_image(access, {.pcr0 = kImageB});
  auto allowed = judge_access(access);
  EXPECT_THAT(codes(allowed, Severity::warning), IsEmpty());
  ASSERT_EQ(allowed.openings.size(), 2u);
  const auto& first = allowed.openings[0];
  EXPECT_EQ(first.image, (NamedImage{"PCR0", kImageA}));
  EXPECT_THAT(first.principals,
              ElementsAre("whom the account's IAM policies allow", "arn:aws:iam::111122223333:role/host"));
  EXPECT_THAT(first.releases, ElementsAre("1", "2"));
  EXPECT_THAT(first.names, ElementsAre("ocr"));
  EXPECT_THAT(first.signers, ElementsAre("f1"));
  EXPECT_EQ(first.until, "2027-01-31T00:00:00Z");
  EXPECT_FALSE(first.over);
  EXPECT_THAT(first.conditions, IsEmpty());
  const auto& second = allowed.openings[1];
  EXPECT_EQ(second.image.value, kImageB);
  EXPECT_THAT(second.releases, IsEmpty());
  EXPECT_THAT(second.until, IsEmpty());

  ASSERT_TRUE(revoke_release(access, kImageA, "1"));
  ASSERT_TRUE(revoke_image(access, kImageB));
  auto fewer = judge_access(access);
  EXPECT_THAT(codes(fewer, Severity::warning), IsEmpty());
  ASSERT_EQ(fewer.openings.size(), 1u);
  EXPECT_THAT(fewer.openings[0].releases, ElementsAre("2"));
  ASSERT_TRUE(revoke_image(access, ""));
  EXPECT_THAT(judge_access(access).openings, IsEmpty());
}

TEST(KeyFindings, WhatIsOverIsToldAsOver) {
  KeyAccess access;
  allow_image(access, {.pcr0 = kImageA, .until = "2026-06-01T12:00:00Z"});
  auto out = judge_access(access);
  ASSERT_EQ(out.openings.size(), 1u);
  EXPECT_TRUE(out.openings[0].over);
}

// --- openings of others' policies ------------------------------------------------------------------------

std::vector<Opening> openings(const std::string& statements) {
  auto out = judge_key(facts_with(R"({"Statement":[)" + statements + "]}"));
  EXPECT_TRUE(out.judged);
  return out.openings;
}
std::string allow(const std::string& condition) {
  return R"({"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/host"},"Action":"kms:*",
             "Resource":"*","Condition":)" +
         condition + "}";
}

TEST(KeyOpenings, WhoNeedsNoDocumentIsToldOnce) {
  auto out = openings(allow("{}"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].document, Opening::Document::none);
  EXPECT_THAT(out[0].statements, ElementsAre("statement 1"));
}

TEST(KeyOpenings, AConditionThatIsNoneOfOursIsTold) {
  auto out = openings(allow(
      R"({"StringEquals":{"kms:RecipientAttestation:PCR8":")" + kImageA +
      R"(","kms:RecipientAttestation:PCR3":"x"},"StringLike":{"kms:EncryptionContext:cloister:release":"1.*"}})"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].image, (NamedImage{"PCR8", kImageA}));
  EXPECT_THAT(out[0].conditions, ElementsAre("StringEquals kms:recipientattestation:pcr3 x",
                                             "StringLike kms:encryptioncontext:cloister:release 1.*"));
}

TEST(KeyOpenings, ReleasesThatADenyKeepsOutAreNotTold) {
  auto release = [](const char* comparison, const char* list) {
    return std::string(R"({")") + comparison + R"(":{"kms:EncryptionContext:cloister:release":)" + list +
           "}}";
  };
  auto deny = [&](const char* list) {
    return R"(,{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":)" +
           release("StringNotEquals", list) + "}";
  };
  auto out = openings(allow(release("StringEquals", R"(["1","2"])")) + deny(R"(["2","3"])"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_THAT(out[0].releases, ElementsAre("2"));
  EXPECT_THAT(openings(allow(release("StringEquals", R"("1")")) + deny(R"("2")")), IsEmpty());
}

}  // namespace
}  // namespace cloister::host
