// Documents that are refused, and forms that are not.
#include "iam/policy_fixture.h"

namespace cloister::iam {
namespace {

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
        Malformed{"BinaryEquals of no base64", condition_with(R"({"BinaryEquals":{"aws:SourceIp":"x"}})")},
        Malformed{"BinaryNotEquals", condition_with(R"({"BinaryNotEquals":{"aws:SourceIp":"eA=="}})")},
        Malformed{"NotPrincipal with Allow",
                  policy_of(R"({"Effect":"Allow","NotPrincipal":"*","Action":"kms:*","Resource":"*"})")},
        Malformed{"a wildcard in an action's service",
                  policy_of(R"({"Effect":"Allow","Principal":"*","Action":"k*:Decrypt","Resource":"*"})")},
        Malformed{"a partition of nobody's",
                  principal_with(R"({"AWS":"arn:awsome:iam::111122223333:root"})")},
        Malformed{"a day that no calendar has",
                  condition_with(R"({"DateLessThan":{"aws:CurrentTime":"2026-02-30"}})")},
        Malformed{"a date with space before it",
                  condition_with(R"({"DateLessThan":{"aws:CurrentTime":" 2026-02-03"}})")},
        Malformed{"a time without a zone",
                  condition_with(R"({"DateLessThan":{"aws:CurrentTime":"2026-02-03T12:00:00"}})")},
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
        Malformed{"a register that no TPM has",
                  condition_with(R"({"StringEquals":{"kms:RecipientAttestation:NitroTPMPCR24":"x"}})")},
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
  EXPECT_TRUE(Policy::parse(kAllowAllOf, PolicyKind::identity));
  EXPECT_FALSE(Policy::parse(policy_of(kAllowDecrypt), PolicyKind::identity));
  EXPECT_FALSE(Policy::parse(kAllowAllOf, PolicyKind::key));
}

TEST(Policy, TrustPoliciesNamePrincipalsButNoResource) {
  EXPECT_TRUE(Policy::parse(default_trust_policy(kAccount), PolicyKind::trust));
  EXPECT_FALSE(Policy::parse(policy_of(kAllowDecrypt), PolicyKind::trust));
  EXPECT_FALSE(Policy::parse(kAllowAllOf, PolicyKind::trust));
  EXPECT_FALSE(Policy::parse(policy_of(R"({"Effect":"Deny","NotPrincipal":"*","Action":"sts:AssumeRole"})"),
                             PolicyKind::trust));
}

TEST(Policy, BothVersionsOrNoneAndAnId) {
  for (const char* head :
       {R"("Version":"2012-10-17",)", R"("Version":"2008-10-17",)", "", R"("Id":"key-1",)"}) {
    EXPECT_TRUE(
        Policy::parse(std::string("{") + head + R"("Statement":[)" + kAllowDecrypt + "]}", PolicyKind::key))
        << head;
  }
}

TEST(Policy, VariablesAreRefusedInWordsThatHelp) {
  auto parsed =
      Policy::parse(condition_with(R"({"StringEquals":{"aws:userid":"${aws:userid}"}})"), PolicyKind::key);
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message().find("write the value itself"), std::string::npos);
}

}  // namespace
}  // namespace cloister::iam
