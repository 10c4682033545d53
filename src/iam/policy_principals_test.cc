#include "iam/policy_fixture.h"

namespace cloister::iam {
namespace {

struct Row {
  const char* page;
  const char* rule;
  std::string principal;
  bool user_allowed;
  bool session_allowed;
};

TEST(PolicyPrincipals, CoverWhomTheyName) {
  const Row kTable[] = {
      {kPrincipalPage, "\"*\" is everyone", R"("*")", true, true},
      {kPrincipalPage, "{\"AWS\":\"*\"} is the same", R"({"AWS":"*"})", true, true},
      {kPrincipalPage, "an IAM user", R"({"AWS":"arn:aws:iam::111122223333:user/owner"})", true, false},
      {kPrincipalPage, "names of users mind case", R"({"AWS":"arn:aws:iam::111122223333:user/Owner"})", false,
       false},
      {kPrincipalPage, "another account's user of that name",
       R"({"AWS":"arn:aws:iam::999999999999:user/owner"})", false, false},
      {kPrincipalPage, "a role is all its sessions",
       R"({"AWS":"arn:aws:iam::111122223333:role/enclave-host"})", false, true},
      {kPrincipalPage, "one session",
       R"({"AWS":"arn:aws:sts::111122223333:assumed-role/enclave-host/session"})", false, true},
      {kPrincipalPage, "another session",
       R"({"AWS":"arn:aws:sts::111122223333:assumed-role/enclave-host/other"})", false, false},
      {kPrincipalPage, "a list is OR",
       R"({"AWS":["arn:aws:iam::111122223333:user/x","arn:aws:iam::111122223333:user/owner"]})", true, false},
      {kKeyPolicies, "an account lets its own policies decide, and is not its users",
       R"({"AWS":"111122223333"})", false, false},
      {kKeyPolicies, "… written as the root's ARN", R"({"AWS":"arn:aws:iam::111122223333:root"})", false,
       false},
      {kOurs, "services are no callers here", R"({"Service":"ec2.amazonaws.com"})", false, false},
      {kOurs, "… none of them", R"({"Service":"*"})", false, false},
      {kOurs, "nor are federated identities", R"({"Federated":"cognito-identity.amazonaws.com"})", false,
       false},
      {kOurs, "nor canonical users",
       R"({"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"})", false,
       false},
      {kPrincipalPage, "kinds beside each other are OR",
       R"({"Service":"ec2.amazonaws.com","AWS":"arn:aws:iam::111122223333:user/owner"})", true, false},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(row.page) + ": " + row.rule);
    auto policy = principal_with(row.principal);
    EXPECT_EQ(allows(policy, user()), row.user_allowed);
    EXPECT_EQ(allows(policy, session()), row.session_allowed);
  }
}

TEST(PolicyPrincipals, NotPrincipalExceptsOnlyWhoIsNamedWhole) {
  const std::string kOwnAccount = "\"arn:aws:iam::111122223333:root\"";
  const std::string kOwner = "\"arn:aws:iam::111122223333:user/owner\"";
  const std::string kRoleArn = "\"arn:aws:iam::111122223333:role/enclave-host\"";
  const std::string kSessionArn = "\"arn:aws:sts::111122223333:assumed-role/enclave-host/session\"";
  struct Excepted {
    const char* rule;
    std::string list;
    bool user_allowed;
    bool session_allowed;
  };
  const Excepted kTable[] = {
      {"user and account", kOwnAccount + "," + kOwner, true, false},
      {"the user alone: the account is denied, and he with it", kOwner, false, false},
      {"the account alone: the user is denied", kOwnAccount, false, false},
      {"account and role: the session is denied", kOwnAccount + "," + kRoleArn, false, false},
      {"account, role and session", kOwnAccount + "," + kRoleArn + "," + kSessionArn, false, true},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(kNotPrincipalPage) + ": " + row.rule);
    auto policy = policy_of(kAllowDecrypt + R"(,{"Effect":"Deny","NotPrincipal":{"AWS":[)" + row.list +
                            R"(]},"Action":"kms:*","Resource":"*"})");
    EXPECT_EQ(allows(policy, user()), row.user_allowed);
    EXPECT_EQ(allows(policy, session()), row.session_allowed);
  }
}

}  // namespace
}  // namespace cloister::iam
