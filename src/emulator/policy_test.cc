#include "emulator/policy.h"

#include <gtest/gtest.h>

#include "emulator/policy_eval.h"

namespace cloister::emulator {
namespace {

constexpr const char* kAccount = "111122223333";
constexpr const char* kKeyArn = "arn:aws:kms:us-east-1:111122223333:key/0a0b0c0d-0000-4000-8000-000000000001";
constexpr const char* kUser = "arn:aws:iam::111122223333:user/owner";
constexpr const char* kRole = "arn:aws:iam::111122223333:role/enclave-host";
constexpr const char* kSession = "arn:aws:sts::111122223333:assumed-role/enclave-host/session";
constexpr const char* kAllowAll =
    R"({"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}})";
const std::string kPcr(96, 'a');

std::string policy_of(const std::string& statements) {
  return R"({"Version":"2012-10-17","Statement":[)" + statements + "]}";
}

// A statement on everyone and everything but what the test is about.
std::string conditioned(const std::string& effect, const std::string& condition) {
  return R"({"Effect":")" + effect +
         R"(","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":)" + condition + "}";
}
const std::string kAllowDecrypt =
    R"({"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"})";

Caller user() {
  return {kUser, kUser, kAccount, {}};
}
Caller session() {
  return {kSession, kRole, kAccount, {}};
}
Caller with_identity(Caller caller, const std::string& policy) {
  auto parsed = Policy::parse(policy, PolicyKind::identity);
  EXPECT_TRUE(parsed.has_value()) << policy;
  if (parsed) caller.identity_policy = *std::move(parsed);
  return caller;
}

AccessRequest decrypt_request() {
  AccessRequest out{"kms:Decrypt", kKeyArn, {}};
  out.context.set("kms:CallerAccount", kAccount);
  out.context.set("aws:CurrentTime", "2026-06-01T12:00:00Z");
  out.context.set("aws:EpochTime", "1780315200");
  out.context.set("aws:SourceIp", "192.0.2.77");
  out.context.set("aws:SecureTransport", "true");
  out.context.set("aws:PrincipalArn", kUser);
  out.context.set("kms:RecipientAttestation:ImageSha384", kPcr);
  out.context.set("kms:RecipientAttestation:PCR0", kPcr);
  out.context.set("kms:EncryptionContext:AppName", "Cloister");
  out.context.set_list("kms:EncryptionContextKeys", {"AppName", "Release"});
  return out;
}

Verdict decide(const std::string& key_policy, const Caller& caller,
               const AccessRequest& request = decrypt_request()) {
  auto policy = Policy::parse(key_policy, PolicyKind::key);
  if (!policy) {
    ADD_FAILURE() << policy.error().message() << "\n" << key_policy;
    return Verdict::no_key_policy_allows;
  }
  return authorize(caller, request, KeyGuard{kAccount, *policy});
}

bool allows(const std::string& key_policy, const Caller& caller) {
  return decide(key_policy, caller) == Verdict::allowed;
}

// --- documents that are refused
// ---------------------------------------------------------------------------------------------

struct Malformed {
  const char* what;
  std::string policy;
};

class MalformedPolicy : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedPolicy, IsRefused) {
  auto parsed = Policy::parse(GetParam().policy, PolicyKind::key);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().kind(), ErrorKind::invalid);
}

std::string statement_with(const std::string& members) {
  return policy_of(R"({"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*",)" + members +
                   "}");
}
std::string condition_with(const std::string& condition) {
  return policy_of(conditioned("Deny", condition));
}
std::string principal_with(const std::string& principal) {
  return policy_of(R"({"Effect":"Allow","Action":"kms:*","Resource":"*","Principal":)" + principal + "}");
}

INSTANTIATE_TEST_SUITE_P(
    Table, MalformedPolicy,
    testing::Values(
        Malformed{"nothing", ""}, Malformed{"not JSON", "{"}, Malformed{"a list", "[]"},
        Malformed{"no statement", R"({"Version":"2012-10-17"})"},
        Malformed{"an empty list of statements", policy_of("")},
        Malformed{"a version of the future",
                  R"({"Version":"2030-01-01","Statement":[)" + kAllowDecrypt + "]}"},
        Malformed{"an unknown element",
                  R"({"Version":"2012-10-17","Extra":1,"Statement":[)" + kAllowDecrypt + "]}"},
        Malformed{"an element twice", R"({"Version":"2012-10-17","Statement":[)" + kAllowDecrypt +
                                          R"(],"Statement":[)" + kAllowDecrypt + "]}"},
        Malformed{"bytes after the end", policy_of(kAllowDecrypt) + "{}"},
        Malformed{"too deep", std::string(40, '[') + std::string(40, ']')},
        Malformed{"too long", policy_of(kAllowDecrypt) + std::string(kMaxPolicyBytes, ' ')},
        Malformed{"unknown statement element", statement_with(R"("Conditions":{})")},
        Malformed{"effect in lower case",
                  policy_of(R"({"Effect":"allow","Principal":"*","Action":"kms:*","Resource":"*"})")},
        Malformed{"no effect", policy_of(R"({"Principal":"*","Action":"kms:*","Resource":"*"})")},
        Malformed{"no principal", policy_of(R"({"Effect":"Allow","Action":"kms:*","Resource":"*"})")},
        Malformed{"no action", policy_of(R"({"Effect":"Allow","Principal":"*","Resource":"*"})")},
        Malformed{"no resource", policy_of(R"({"Effect":"Allow","Principal":"*","Action":"kms:*"})")},
        Malformed{"Action and NotAction", statement_with(R"("NotAction":"kms:Encrypt")")},
        Malformed{"Principal and NotPrincipal", statement_with(R"("NotPrincipal":"*")")},
        Malformed{"an action without service",
                  policy_of(R"({"Effect":"Allow","Principal":"*","Action":"Decrypt","Resource":"*"})")},
        Malformed{"an action that is a number",
                  policy_of(R"({"Effect":"Allow","Principal":"*","Action":[1],"Resource":"*"})")},
        Malformed{"a resource that is no ARN",
                  policy_of(R"({"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"key"})")},
        Malformed{
            "two equal Sids",
            policy_of(R"({"Sid":"a","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},)"
                      R"({"Sid":"a","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"})")},
        Malformed{"unknown kind of principal", principal_with(R"({"GCP":"x"})")},
        Malformed{"principal without kind", principal_with(R"("arn:aws:iam::111122223333:root")")},
        Malformed{"wildcard within a principal",
                  principal_with(R"({"AWS":"arn:aws:iam::111122223333:user/*"})")},
        Malformed{"short account", principal_with(R"({"AWS":"1111"})")},
        Malformed{"principal of another service",
                  principal_with(R"({"AWS":"arn:aws:s3::111122223333:user/x"})")},
        Malformed{"a group as principal", principal_with(R"({"AWS":"arn:aws:iam::111122223333:group/x"})")},
        Malformed{"an empty list of principals", principal_with(R"({"AWS":[]})")},
        Malformed{"unknown operator", condition_with(R"({"StringEqual":{"aws:SourceIp":"x"}})")},
        Malformed{"unknown operator with suffix",
                  condition_with(R"({"StringEqualIfExists":{"aws:SourceIp":"x"}})")},
        Malformed{"unknown set rule",
                  condition_with(R"({"ForEachValue:StringEquals":{"aws:SourceIp":"x"}})")},
        Malformed{"operator in lower case", condition_with(R"({"stringequals":{"aws:SourceIp":"x"}})")},
        Malformed{"NullIfExists", condition_with(R"({"NullIfExists":{"aws:SourceIp":"true"}})")},
        Malformed{"BinaryEquals", condition_with(R"({"BinaryEquals":{"aws:SourceIp":"eA=="}})")},
        Malformed{"Bool of a word", condition_with(R"({"Bool":{"aws:SecureTransport":"maybe"}})")},
        Malformed{"Null of a word", condition_with(R"({"Null":{"aws:SecureTransport":"yes"}})")},
        Malformed{"an address that is none",
                  condition_with(R"({"IpAddress":{"aws:SourceIp":"192.0.2.0/33"}})")},
        Malformed{"a number that is none", condition_with(R"({"NumericEquals":{"aws:EpochTime":"nan"}})")},
        Malformed{"a date that is none",
                  condition_with(R"({"DateLessThan":{"aws:CurrentTime":"tomorrow"}})")},
        Malformed{"an ARN that is none", condition_with(R"({"ArnLike":{"aws:PrincipalArn":"root"}})")},
        Malformed{"no condition keys", condition_with(R"({"StringEquals":{}})")},
        Malformed{"no values", condition_with(R"({"StringEquals":{"aws:SourceIp":[]}})")},
        Malformed{"an object as value", condition_with(R"({"StringEquals":{"aws:SourceIp":{}}})")},
        Malformed{"null as value", condition_with(R"({"StringEquals":{"aws:SourceIp":null}})")},
        Malformed{"a misspelt key of ours",
                  condition_with(R"({"StringNotEquals":{"kms:RecipientAttestation:ImageSha348":"x"}})")},
        Malformed{"a PCR out of range",
                  condition_with(R"({"StringEquals":{"kms:RecipientAttestation:PCR32":"x"}})")},
        Malformed{"a PCR with a leading zero",
                  condition_with(R"({"StringEquals":{"kms:RecipientAttestation:PCR00":"x"}})")},
        Malformed{"a key without service", condition_with(R"({"StringEquals":{"SourceIp":"x"}})")},
        Malformed{"one key in two spellings",
                  condition_with(R"({"StringEquals":{"aws:SourceIp":"x","aws:sourceip":"y"}})")},
        Malformed{"a policy variable",
                  condition_with(R"({"StringEquals":{"aws:PrincipalArn":"${aws:username}"}})")},
        Malformed{
            "a variable as resource",
            policy_of(R"({"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"arn:${x}"})")}));

TEST(Policy, IdentityPoliciesNameNoPrincipals) {
  EXPECT_TRUE(Policy::parse(kAllowAll, PolicyKind::identity));
  EXPECT_FALSE(Policy::parse(policy_of(kAllowDecrypt), PolicyKind::identity));
  EXPECT_FALSE(Policy::parse(kAllowAll, PolicyKind::key));
}

// --- conditions
// -------------------------------------------------------------------------------------------------------------

struct Conditioned {
  std::string condition;
  bool holds;
};

class ConditionTable : public testing::TestWithParam<Conditioned> {};

// The same condition decides an Allow and, beside an Allow for everyone, a Deny.
TEST_P(ConditionTable, DecidesAllowAndDeny) {
  const auto& [condition, holds] = GetParam();
  EXPECT_EQ(allows(policy_of(conditioned("Allow", condition)), user()), holds) << condition;
  EXPECT_EQ(allows(policy_of(kAllowDecrypt + "," + conditioned("Deny", condition)), user()), !holds)
      << condition;
}

std::string image(const std::string& operation, const std::string& value) {
  return R"({")" + operation + R"(":{"kms:RecipientAttestation:ImageSha384":")" + value + "\"}}";
}

INSTANTIATE_TEST_SUITE_P(
    Strings, ConditionTable,
    testing::Values(
        Conditioned{image("StringEquals", kPcr), true},
        Conditioned{image("StringEquals", std::string(96, 'A')), false},
        Conditioned{image("StringEqualsIgnoreCase", std::string(96, 'A')), true},
        Conditioned{image("StringEqualsIgnoreCase", std::string(95, 'A')), false},
        Conditioned{image("StringEquals", "*"), false}, Conditioned{image("StringLike", "*"), true},
        Conditioned{image("StringLike", "a*a?"), true}, Conditioned{image("StringLike", "a*b"), false},
        Conditioned{image("StringLike", "A*"), false}, Conditioned{image("StringLike", ""), false},
        Conditioned{image("StringNotEquals", kPcr), false}, Conditioned{image("StringNotEquals", "b"), true},
        Conditioned{image("StringNotEqualsIgnoreCase", std::string(96, 'A')), false},
        Conditioned{image("StringNotLike", "a*"), false}, Conditioned{image("StringNotLike", "b*"), true},
        // A list is any of its values, and none of them when negated.
        Conditioned{R"({"StringEquals":{"kms:CallerAccount":["999999999999","111122223333"]}})", true},
        Conditioned{R"({"StringNotEquals":{"kms:CallerAccount":["999999999999","111122223333"]}})", false},
        // Numbers stand for their text.
        Conditioned{R"({"StringEquals":{"kms:CallerAccount":111122223333}})", true},
        // Keys compare without case, all keys and operators must hold.
        Conditioned{R"({"StringEquals":{"KMS:calleraccount":"111122223333"}})", true},
        Conditioned{R"({"StringEquals":{"kms:EncryptionContext:appname":"Cloister"}})", true},
        Conditioned{R"({"StringEquals":{"kms:EncryptionContext:AppName":"cloister"}})", false},
        Conditioned{
            R"({"StringEquals":{"kms:CallerAccount":"111122223333","kms:EncryptionContext:AppName":"x"}})",
            false},
        Conditioned{
            R"({"StringEquals":{"kms:CallerAccount":"111122223333"},"Bool":{"aws:SecureTransport":"false"}})",
            false}));

INSTANTIATE_TEST_SUITE_P(
    AbsentKeys, ConditionTable,
    testing::Values(Conditioned{R"({"StringEquals":{"kms:RecipientAttestation:PCR4":"x"}})", false},
                    Conditioned{R"({"StringLike":{"kms:RecipientAttestation:PCR4":"*"}})", false},
                    Conditioned{R"({"StringNotEquals":{"kms:RecipientAttestation:PCR4":"x"}})", true},
                    Conditioned{R"({"StringEqualsIfExists":{"kms:RecipientAttestation:PCR4":"x"}})", true},
                    Conditioned{R"({"StringEqualsIfExists":{"kms:RecipientAttestation:PCR0":"x"}})", false},
                    Conditioned{R"({"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"false"}})", false},
                    Conditioned{R"({"Null":{"kms:RecipientAttestation:PCR4":"true"}})", true},
                    Conditioned{R"({"Null":{"kms:RecipientAttestation:PCR4":"false"}})", false},
                    Conditioned{R"({"Null":{"kms:RecipientAttestation:PCR0":"true"}})", false},
                    Conditioned{R"({"Null":{"kms:RecipientAttestation:PCR0":false}})", true},
                    Conditioned{R"({"ForAllValues:StringEquals":{"kms:RequestAlias":"x"}})", true},
                    Conditioned{R"({"ForAnyValue:StringEquals":{"kms:RequestAlias":"x"}})", false},
                    Conditioned{R"({"ForAnyValue:StringNotEquals":{"kms:RequestAlias":"x"}})", false}));

INSTANTIATE_TEST_SUITE_P(
    Sets, ConditionTable,
    testing::Values(
        Conditioned{
            R"({"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["AppName","Release","More"]}})",
            true},
        Conditioned{R"({"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["AppName"]}})", false},
        Conditioned{R"({"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["appname","release"]}})",
                    false},
        Conditioned{R"({"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":["Release","Other"]}})",
                    true},
        Conditioned{R"({"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":["Other"]}})", false},
        Conditioned{R"({"ForAnyValue:StringNotEquals":{"kms:EncryptionContextKeys":["AppName"]}})", true},
        Conditioned{R"({"ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":["AppName"]}})", false},
        Conditioned{R"({"ForAllValues:StringNotLike":{"kms:EncryptionContextKeys":["X*"]}})", true},
        Conditioned{R"({"ForAnyValue:StringLikeIfExists":{"kms:EncryptionContextKeys":["Rel*"]}})", true}));

INSTANTIATE_TEST_SUITE_P(
    OtherTypes, ConditionTable,
    testing::Values(Conditioned{R"({"Bool":{"aws:SecureTransport":"true"}})", true},
                    Conditioned{R"({"Bool":{"aws:SecureTransport":false}})", false},
                    Conditioned{R"({"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}})", true},
                    Conditioned{R"({"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.77"]}})", true},
                    Conditioned{R"({"IpAddress":{"aws:SourceIp":"192.0.2.64/29"}})", false},
                    Conditioned{R"({"IpAddress":{"aws:SourceIp":"2001:db8::/32"}})", false},
                    Conditioned{R"({"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}})", false},
                    Conditioned{R"({"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:01Z"}})", true},
                    Conditioned{R"({"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:00Z"}})", false},
                    Conditioned{R"({"DateGreaterThan":{"aws:CurrentTime":"2026-06-01"}})", true},
                    Conditioned{R"({"DateGreaterThanEquals":{"aws:CurrentTime":"1780315200"}})", true},
                    Conditioned{R"({"NumericLessThan":{"aws:EpochTime":1780315201}})", true},
                    Conditioned{R"({"NumericNotEquals":{"aws:EpochTime":"1780315200"}})", false},
                    Conditioned{R"({"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/o*"}})", true},
                    Conditioned{R"({"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}})", false},
                    // A star stays inside its part of the ARN.
                    Conditioned{R"({"ArnLike":{"aws:PrincipalArn":"arn:*:user/owner:x:y:z"}})", false},
                    Conditioned{R"({"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}})", true}));

// --- who may
// ------------------------------------------------------------------------------------------------------------------

TEST(Authorize, DenyWinsWhereverItStands) {
  std::string deny = R"({"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"})";
  EXPECT_EQ(decide(policy_of(kAllowDecrypt + "," + deny), user()), Verdict::denied_by_key_policy);
  EXPECT_EQ(decide(policy_of(deny + "," + kAllowDecrypt), user()), Verdict::denied_by_key_policy);
  auto denied =
      with_identity(user(), R"({"Statement":{"Effect":"Deny","Action":"kms:Dec*","Resource":"*"}})");
  EXPECT_EQ(decide(policy_of(kAllowDecrypt), denied), Verdict::denied_by_identity_policy);
}

TEST(Authorize, DenyOfTheAccountReachesItsUsers) {
  std::string deny =
      R"({"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*"})";
  EXPECT_EQ(decide(policy_of(kAllowDecrypt + "," + deny), with_identity(user(), kAllowAll)),
            Verdict::denied_by_key_policy);
}

TEST(Authorize, RootDelegatesToIdentityPolicies) {
  auto policy = default_key_policy(kAccount);
  EXPECT_EQ(decide(policy, user()), Verdict::no_identity_policy_allows);
  EXPECT_EQ(decide(policy, with_identity(user(), kAllowAll)), Verdict::allowed);
  auto encrypt_only =
      with_identity(user(), R"({"Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}})");
  EXPECT_EQ(decide(policy, encrypt_only), Verdict::no_identity_policy_allows);
  auto this_key =
      with_identity(user(), std::string(R"({"Statement":{"Effect":"Allow","Action":"kms:*","Resource":")") +
                                kKeyArn + "\"}}");
  EXPECT_EQ(decide(policy, this_key), Verdict::allowed);
  auto other_key =
      with_identity(user(), std::string(R"({"Statement":{"Effect":"Allow","Action":"kms:*","Resource":")") +
                                kKeyArn + "x\"}}");
  EXPECT_EQ(decide(policy, other_key), Verdict::no_identity_policy_allows);
}

TEST(Authorize, IdentityPolicyAloneIsNotEnough) {
  auto policy = principal_with(R"({"AWS":"arn:aws:iam::111122223333:user/somebody"})");
  EXPECT_EQ(decide(policy, with_identity(user(), kAllowAll)), Verdict::no_key_policy_allows);
}

struct Named {
  std::string principal;
  bool user_allowed;
  bool session_allowed;
};

class PrincipalTable : public testing::TestWithParam<Named> {};

TEST_P(PrincipalTable, CoversWhomItNames) {
  auto policy = principal_with(GetParam().principal);
  EXPECT_EQ(allows(policy, user()), GetParam().user_allowed);
  EXPECT_EQ(allows(policy, session()), GetParam().session_allowed);
}

INSTANTIATE_TEST_SUITE_P(
    Table, PrincipalTable,
    testing::Values(
        Named{R"("*")", true, true}, Named{R"({"AWS":"*"})", true, true},
        Named{R"({"AWS":"arn:aws:iam::111122223333:user/owner"})", true, false},
        Named{R"({"AWS":"arn:aws:iam::111122223333:user/Owner"})", false, false},
        Named{R"({"AWS":"arn:aws:iam::999999999999:user/owner"})", false, false},
        Named{R"({"AWS":"arn:aws:iam::111122223333:role/enclave-host"})", false, true},
        Named{R"({"AWS":"arn:aws:sts::111122223333:assumed-role/enclave-host/session"})", false, true},
        Named{R"({"AWS":"arn:aws:sts::111122223333:assumed-role/enclave-host/other"})", false, false},
        Named{R"({"AWS":["arn:aws:iam::111122223333:user/x","arn:aws:iam::111122223333:user/owner"]})", true,
              false},
        Named{R"({"AWS":"111122223333"})", false, false},
        Named{R"({"Service":"ec2.amazonaws.com"})", false, false},
        Named{R"({"Service":"*"})", false, false}));

TEST(Authorize, OtherAccountsNeedBothSides) {
  Caller foreign{
      "arn:aws:iam::999999999999:user/guest", "arn:aws:iam::999999999999:user/guest", "999999999999", {}};
  auto policy = principal_with(R"({"AWS":"arn:aws:iam::999999999999:user/guest"})");
  EXPECT_EQ(decide(policy, foreign), Verdict::no_identity_policy_allows);
  EXPECT_EQ(decide(policy, with_identity(foreign, kAllowAll)), Verdict::allowed);
  EXPECT_EQ(decide(default_key_policy(kAccount), with_identity(foreign, kAllowAll)),
            Verdict::no_key_policy_allows);
}

TEST(Authorize, NotPrincipalExceptsOnlyWhoIsNamedWhole) {
  auto deny_others = [](const std::string& list) {
    return policy_of(kAllowDecrypt + R"(,{"Effect":"Deny","NotPrincipal":{"AWS":)" + list +
                     R"(},"Action":"kms:*","Resource":"*"})");
  };
  EXPECT_TRUE(allows(deny_others(R"(["111122223333","arn:aws:iam::111122223333:user/owner"])"), user()));
  EXPECT_FALSE(allows(deny_others(R"(["111122223333","arn:aws:iam::111122223333:user/owner"])"), session()));
  EXPECT_FALSE(allows(deny_others(R"("arn:aws:iam::111122223333:user/owner")"), user()));
  EXPECT_FALSE(allows(deny_others(R"("111122223333")"), user()));
  auto allow_others = policy_of(
      R"({"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/owner"},"Action":"kms:*","Resource":"*"})");
  EXPECT_FALSE(allows(allow_others, user()));
  EXPECT_TRUE(allows(allow_others, session()));
}

TEST(Authorize, ActionsAndResources) {
  auto with = [](const std::string& members) {
    return policy_of(R"({"Effect":"Allow","Principal":"*",)" + members + "}");
  };
  EXPECT_TRUE(allows(with(R"("Action":"KMS:decrypt","Resource":"*")"), user()));
  EXPECT_TRUE(allows(with(R"("Action":["kms:Encrypt","kms:De?rypt"],"Resource":"*")"), user()));
  EXPECT_TRUE(allows(with(R"("Action":"*","Resource":"*")"), user()));
  EXPECT_FALSE(allows(with(R"("Action":"kms:Decryp","Resource":"*")"), user()));
  EXPECT_FALSE(allows(with(R"("Action":"s3:*","Resource":"*")"), user()));
  EXPECT_FALSE(allows(with(R"("NotAction":"kms:Decrypt","Resource":"*")"), user()));
  EXPECT_TRUE(allows(with(R"("NotAction":"kms:Encrypt","Resource":"*")"), user()));
  EXPECT_TRUE(allows(with(R"("Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:key/*")"), user()));
  EXPECT_FALSE(allows(with(R"("Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:alias/*")"), user()));
  EXPECT_FALSE(allows(with(R"("Action":"kms:*","NotResource":"arn:aws:kms:*")"), user()));
}

TEST(Authorize, WithoutAKeyIdentityPoliciesDecide) {
  AccessRequest list{"kms:ListKeys", "*", {}};
  EXPECT_EQ(authorize(user(), list, {}), Verdict::no_identity_policy_allows);
  EXPECT_EQ(authorize(with_identity(user(), kAllowAll), list, {}), Verdict::allowed);
  EXPECT_EQ(denial_message(user(), list, Verdict::no_identity_policy_allows),
            "User: arn:aws:iam::111122223333:user/owner is not authorized to perform: kms:ListKeys on "
            "resource: * because no "
            "identity-based policy allows the kms:ListKeys action");
}

}  // namespace
}  // namespace cloister::emulator
