#include "iam/what_if.h"

#include "iam/policy_fixture.h"

namespace cloister::iam {
namespace {

constexpr sys::UnixMillis kNow = 1780315200000;  // 2026-06-01T12:00:00Z
constexpr const char* kImage = "kms:recipientattestation:pcr0";

Truth truth(const Supposition& given, const char* comparison, const char* key,
            std::vector<std::string> values) {
  return given.holds({*ConditionOperator::parse(comparison), to_lower(key), std::move(values)});
}

TEST(WhatIf, AKeyThatIsAbsentGivenOtherOrUnknown) {
  Supposition absent;
  absent.all_absent("kms:RecipientAttestation:");
  Supposition given = absent;
  given.is(kImage, "aa");
  Supposition other = absent;
  other.is_other(kImage);
  Supposition unknown = absent;
  unknown.is_unknown(kImage);
  struct Row {
    const char* comparison;
    const char* value;
    Truth absent, given, other, unknown;
  };
  using enum Truth;
  const Row kTable[] = {
      {"StringEquals", "aa", no, yes, no, maybe},
      {"StringEquals", "AA", no, no, no, maybe},
      {"StringEqualsIgnoreCase", "AA", no, yes, no, maybe},
      {"StringNotEquals", "aa", yes, no, yes, maybe},
      {"StringNotEqualsIgnoreCase", "bb", yes, yes, yes, maybe},
      {"StringEqualsIfExists", "aa", yes, yes, no, maybe},
      {"StringLike", "*", no, yes, yes, maybe},
      {"StringLike", "a*", no, yes, maybe, maybe},
      {"StringLike", "aa", no, yes, no, maybe},
      {"StringNotLike", "a*", yes, no, maybe, maybe},
      {"StringNotLike", "**", yes, no, no, maybe},
      {"ForAllValues:StringEquals", "aa", yes, yes, no, maybe},
      {"ForAnyValue:StringNotEquals", "aa", no, no, yes, maybe},
      {"Null", "true", yes, no, no, maybe},
      {"Null", "false", no, yes, yes, maybe},
      {"NumericLessThan", "7", no, no, maybe, maybe},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(row.comparison) + " " + row.value);
    EXPECT_EQ(truth(absent, row.comparison, kImage, {row.value}), row.absent);
    EXPECT_EQ(truth(given, row.comparison, kImage, {row.value}), row.given);
    EXPECT_EQ(truth(other, row.comparison, kImage, {row.value}), row.other);
    EXPECT_EQ(truth(unknown, row.comparison, kImage, {row.value}), row.unknown);
    EXPECT_EQ(ConditionOperator::parse(row.comparison)->name(), row.comparison);
  }
}

TEST(WhatIf, TimeGoesForward) {
  Supposition given;
  given.not_before(kNow);
  using enum Truth;
  EXPECT_EQ(truth(given, "DateLessThan", "aws:CurrentTime", {"2026-06-01T12:00:00Z"}), no);
  EXPECT_EQ(truth(given, "DateLessThan", "aws:CurrentTime", {"2026-06-01T12:00:01Z"}), maybe);
  EXPECT_EQ(truth(given, "DateLessThanEquals", "aws:CurrentTime", {"2026-06-01T12:00:00Z"}), maybe);
  EXPECT_EQ(truth(given, "DateLessThan", "aws:CurrentTime", {"2020-01-01", "2030-01-01"}), maybe);
  EXPECT_EQ(truth(given, "DateGreaterThanEquals", "aws:CurrentTime", {"2026-06-01T12:00:00Z"}), yes);
  EXPECT_EQ(truth(given, "DateGreaterThan", "aws:CurrentTime", {"2026-06-01T12:00:00Z"}), maybe);
  EXPECT_EQ(truth(given, "DateGreaterThan", "aws:CurrentTime", {"2030-01-01"}), maybe);
  EXPECT_EQ(truth(given, "DateNotEquals", "aws:CurrentTime", {"2020-01-01"}), yes);
  EXPECT_EQ(truth(given, "NumericLessThan", "aws:EpochTime", {"1"}), no);
  EXPECT_EQ(truth(Supposition(), "DateLessThan", "aws:CurrentTime", {"2020-01-01"}), maybe);
}

struct DenyRow {
  const char* rule;
  std::string principal;  // of the Deny, with its name
  bool user, role, session, account, stranger;
};

// Who is surely denied, beside a statement that allows everyone.
TEST(WhatIf, ADenyCountsForWhomItSurelyCovers) {
  const std::string kRoot = R"("arn:aws:iam::111122223333:root")";
  const std::string kUserText = R"("arn:aws:iam::111122223333:user/owner")";
  const std::string kRoleText = R"("arn:aws:iam::111122223333:role/enclave-host")";
  const std::string kSessionText = R"("arn:aws:sts::111122223333:assumed-role/enclave-host/session")";
  const DenyRow kTable[] = {
      {"everyone", R"("Principal":"*")", true, true, true, true, true},
      {"the account", R"("Principal":{"AWS":)" + kRoot + "}", true, true, true, true, false},
      {"the user alone", R"("Principal":{"AWS":)" + kUserText + "}", true, false, false, false, false},
      {"a session, not its role", R"("Principal":{"AWS":)" + kSessionText + "}", false, false, true, false,
       false},
      {"a service", R"("Principal":{"Service":"ec2.amazonaws.com"})", false, false, false, false, false},
      {"all but the account", R"("NotPrincipal":{"AWS":)" + kRoot + "}", true, true, false, false, true},
      {"all but the user, account left out", R"("NotPrincipal":{"AWS":)" + kUserText + "}", true, true, true,
       true, true},
      {"all but account and role", R"("NotPrincipal":{"AWS":[)" + kRoot + "," + kRoleText + "]}", true, false,
       false, false, true},
      {"all but everyone", R"("NotPrincipal":"*")", false, false, false, false, false},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.rule);
    auto policy = Policy::parse(policy_of(kAllowDecrypt + R"(,{"Effect":"Deny",)" + row.principal +
                                          R"(,"Action":"kms:Decrypt","Resource":"*"})"),
                                PolicyKind::key);
    ASSERT_TRUE(policy) << policy.error().message();
    auto denied = [&](const Subject& who) {
      return !prospect(*policy, &policy->statements[0], who, {"kms:Decrypt", kKeyArn, {}}).possible;
    };
    EXPECT_EQ(denied(subject_named(kUser)), row.user);
    EXPECT_EQ(denied(subject_named(kRole)), row.role);
    EXPECT_EQ(denied(subject_named(kSession)), row.session);
    EXPECT_EQ(denied(subject_named(kAccount)), row.account);
    EXPECT_EQ(denied({Subject::Kind::account, {}, {}}), row.stranger);
  }
}

TEST(WhatIf, EveryoneIsThisAccountThoseNamedAndOneThatIsNot) {
  auto policy = Policy::parse(
      policy_of(conditioned("Allow", R"({"StringEquals":{"kms:CallerAccount":"999999999999"}})")),
      PolicyKind::key);
  ASSERT_TRUE(policy);
  const auto& statement = policy->statements[0];
  auto who = subjects_of(statement.principals.entries[0], named_accounts(*policy), kAccount);
  ASSERT_EQ(who.size(), 3u);
  std::vector<bool> possible;
  for (const auto& one : who)
    possible.push_back(prospect(*policy, &statement, one, {"kms:Decrypt", kKeyArn, {}}).possible);
  EXPECT_EQ(possible, (std::vector<bool>{false, true, false}));
}

TEST(WhatIf, ADeletedPrincipalIsNobody) {
  auto text = principal_with(R"({"AWS":["AROAEXAMPLEEXAMPLE123","arn:aws:iam::111122223333:user/owner"]})");
  EXPECT_FALSE(Policy::parse(text, PolicyKind::key));
  auto policy = Policy::parse(text, PolicyKind::kept_key);
  ASSERT_TRUE(policy);
  const auto& names = policy->statements[0].principals.entries;
  ASSERT_EQ(names.size(), 2u);
  EXPECT_TRUE(subjects_of(names[0], {}, kAccount).empty());
  EXPECT_EQ(subjects_of(names[1], {}, kAccount).size(), 1u);
  for (const char* bad : {"AROA", "aroaexampleexample123", "AROAEXAMPLE-EXAMPLE123", "BROAEXAMPLEEXAMPLE123"})
    EXPECT_FALSE(Policy::parse(principal_with(fmt::format(R"({{"AWS":"{}"}})", bad)), PolicyKind::kept_key));
}

TEST(WhatIf, WhatIsLeftOpenIsTold) {
  auto policy = Policy::parse(
      policy_of(conditioned("Allow", R"({"Bool":{"aws:SecureTransport":"true"}})") + "," +
                conditioned("Deny", R"({"StringNotEquals":{"kms:EncryptionContext:release":["1"]}})")),
      PolicyKind::key);
  ASSERT_TRUE(policy);
  auto out = prospect(*policy, &policy->statements[0], subject_named(kUser), {"kms:Decrypt", kKeyArn, {}});
  ASSERT_TRUE(out.possible);
  ASSERT_EQ(out.must.size(), 1u);
  EXPECT_EQ(out.must[0]->key, "aws:securetransport");
  ASSERT_EQ(out.must_not.size(), 1u);
  EXPECT_EQ(out.must_not[0].at(0)->key, "kms:encryptioncontext:release");
}

}  // namespace
}  // namespace cloister::iam
