#include "iam/policy_fixture.h"

namespace cloister::iam {
namespace {

struct Row {
  const char* page;
  const char* rule;
  std::string key_policy;
  Caller caller;
  Verdict verdict;
};

void check(const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    SCOPED_TRACE(std::string(row.page) + ": " + row.rule);
    EXPECT_EQ(decide(row.key_policy, row.caller), row.verdict);
  }
}

std::string own(const std::string& effect, const std::string& action) {
  return R"({"Statement":{"Effect":")" + effect + R"(","Action":")" + action + R"(","Resource":"*"}})";
}
std::string own_on(const std::string& resource) {
  return R"({"Statement":{"Effect":"Allow","Action":"kms:*","Resource":")" + resource + "\"}}";
}
const std::string kDenyAll = R"({"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"})";
const std::string kDenyAccount =
    R"({"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*"})";
const std::string kToRole = principal_with(R"({"AWS":"arn:aws:iam::111122223333:role/enclave-host"})");
const std::string kToSession =
    principal_with(R"({"AWS":"arn:aws:sts::111122223333:assumed-role/enclave-host/session"})");

TEST(PolicyEvaluation, OneAccount) {
  auto root = default_key_policy(kAccount);
  check({
      {kLogic, "without an Allow: denied", policy_of(kDenyAccount), guest(), Verdict::no_key_policy_allows},
      {kLogic, "an explicit deny wins", policy_of(kAllowDecrypt + "," + kDenyAll), user(),
       Verdict::denied_by_key_policy},
      {kLogic, "… wherever it stands", policy_of(kDenyAll + "," + kAllowDecrypt), user(),
       Verdict::denied_by_key_policy},
      {kLogic, "… in an identity policy too", policy_of(kAllowDecrypt),
       with_identity(user(), own("Deny", "kms:Dec*")), Verdict::denied_by_identity_policy},
      {kPrincipalPage, "a Deny of the account reaches its users",
       policy_of(kAllowDecrypt + "," + kDenyAccount), with_identity(user(), kAllowAllOf),
       Verdict::denied_by_key_policy},
      {kKeyPolicies, "the root statement alone allows nobody", root, user(),
       Verdict::no_identity_policy_allows},
      {kKeyPolicies, "… it lets identity policies allow", root, with_identity(user(), kAllowAllOf),
       Verdict::allowed},
      {kKeyPolicies, "… what they name", root, with_identity(user(), own("Allow", "kms:Encrypt")),
       Verdict::no_identity_policy_allows},
      {kKeyPolicies, "… this key", root, with_identity(user(), own_on(kKeyArn)), Verdict::allowed},
      {kKeyPolicies, "… not another", root, with_identity(user(), own_on(std::string(kKeyArn) + "x")),
       Verdict::no_identity_policy_allows},
      {kKeyPolicies, "an identity policy alone is not enough",
       principal_with(R"({"AWS":"arn:aws:iam::111122223333:user/somebody"})"),
       with_identity(user(), kAllowAllOf), Verdict::no_key_policy_allows},
      {kKeyPolicies, "the key policy's word for the principal itself is", kToRole, session(),
       Verdict::allowed},
  });
}

TEST(PolicyEvaluation, SessionPolicies) {
  auto narrow = own("Allow", "kms:Encrypt");
  check({
      {kLogic, "a session policy narrows what the role has", default_key_policy(kAccount),
       with_session(with_identity(session(), kAllowAllOf), narrow), Verdict::no_session_policy_allows},
      {kLogic, "… both allow", default_key_policy(kAccount),
       with_session(with_identity(session(), kAllowAllOf), own("Allow", "kms:Decrypt")), Verdict::allowed},
      {kLogic, "… and gives nothing itself", default_key_policy(kAccount),
       with_session(session(), kAllowAllOf), Verdict::no_identity_policy_allows},
      {kLogic, "it narrows what a key policy gives the role", kToRole, with_session(session(), narrow),
       Verdict::no_session_policy_allows},
      {kLogic, "… not what one gives the session by its ARN", kToSession, with_session(session(), narrow),
       Verdict::allowed},
      {kOurs, "it narrows what a key policy gives everyone", policy_of(kAllowDecrypt),
       with_session(session(), narrow), Verdict::no_session_policy_allows},
      {kLogic, "its explicit deny wins over all", kToSession, with_session(session(), own("Deny", "kms:*")),
       Verdict::denied_by_session_policy},
  });
}

TEST(PolicyEvaluation, OtherAccounts) {
  auto to_guest = principal_with(R"({"AWS":"arn:aws:iam::999999999999:user/guest"})");
  auto to_account = principal_with(R"({"AWS":"999999999999"})");
  check({
      {kOtherAccounts, "the key's side alone", to_guest, guest(), Verdict::no_identity_policy_allows},
      {kOtherAccounts, "both sides", to_guest, with_identity(guest(), kAllowAllOf), Verdict::allowed},
      {kOtherAccounts, "both sides, the account named", to_account, with_identity(guest(), kAllowAllOf),
       Verdict::allowed},
      {kOtherAccounts, "the caller's side alone", default_key_policy(kAccount),
       with_identity(guest(), kAllowAllOf), Verdict::no_key_policy_allows},
      {kOtherAccounts, "\"*\" is not his side", policy_of(kAllowDecrypt), guest(),
       Verdict::no_identity_policy_allows},
  });
  auto manage = decrypt_request();
  for (const char* action :
       {"kms:PutKeyPolicy", "kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:CreateAlias"}) {
    SCOPED_TRACE(std::string(kOtherAccounts) + ": permissions to manage a key have no effect: " + action);
    manage.action = action;
    EXPECT_EQ(decide(to_guest, with_identity(guest(), kAllowAllOf), manage), Verdict::no_key_policy_allows);
    EXPECT_EQ(decide(default_key_policy(kAccount), with_identity(user(), kAllowAllOf), manage),
              Verdict::allowed);
  }
}

TEST(PolicyEvaluation, ActionsAndResources) {
  struct Members {
    const char* rule;
    const char* members;
    bool allowed;
  };
  const Members kTable[] = {
      {"actions do not mind case", R"("Action":"KMS:decrypt","Resource":"*")", true},
      {"? is one character", R"("Action":["kms:Encrypt","kms:De?rypt"],"Resource":"*")", true},
      {"* in the middle", R"("Action":"kms:D*pt","Resource":"*")", true},
      {"* alone", R"("Action":"*","Resource":"*")", true},
      {"no prefix counts without a wildcard", R"("Action":"kms:Decryp","Resource":"*")", false},
      {"another service", R"("Action":"s3:*","Resource":"*")", false},
      {"NotAction: all but those", R"("NotAction":"kms:Decrypt","Resource":"*")", false},
      {"NotAction: all but those", R"("NotAction":"kms:Encrypt","Resource":"*")", true},
      {"wildcards in a resource", R"("Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:key/*")", true},
      {"resources mind case", R"("Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:KEY/*")", false},
      {"another resource", R"("Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:alias/*")", false},
      {"NotResource", R"("Action":"kms:*","NotResource":"arn:aws:kms:*")", false},
      {"NotResource", R"("Action":"kms:*","NotResource":"arn:aws:s3:*")", true},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(kElements) + ": " + row.rule);
    EXPECT_EQ(
        allows(policy_of(std::string(R"({"Effect":"Allow","Principal":"*",)") + row.members + "}"), user()),
        row.allowed);
  }
}

TEST(PolicyEvaluation, WithoutAKeyThePrincipalsOwnPoliciesDecide) {
  AccessRequest list{"kms:ListKeys", "*", {}};
  EXPECT_EQ(authorize(user(), list, {}), Verdict::no_identity_policy_allows);
  EXPECT_EQ(authorize(with_identity(user(), kAllowAllOf), list, {}), Verdict::allowed);
  auto narrowed = with_session(with_identity(session(), kAllowAllOf), own("Allow", "kms:Decrypt"));
  EXPECT_EQ(authorize(narrowed, list, {}), Verdict::no_session_policy_allows);
}

TEST(PolicyEvaluation, MessagesSayWhichPolicy) {
  struct Message {
    Verdict verdict;
    const char* end;
  };
  const Message kTable[] = {
      {Verdict::denied_by_key_policy, "with an explicit deny in a resource-based policy"},
      {Verdict::denied_by_identity_policy, "with an explicit deny in an identity-based policy"},
      {Verdict::denied_by_session_policy, "with an explicit deny in a session policy"},
      {Verdict::no_key_policy_allows, "because no resource-based policy allows the kms:Decrypt action"},
      {Verdict::no_identity_policy_allows, "because no identity-based policy allows the kms:Decrypt action"},
      {Verdict::no_session_policy_allows, "because no session policy allows the kms:Decrypt action"},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(denial_message(session(), decrypt_request(), row.verdict),
              std::string("User: ") + kSession +
                  " is not authorized to perform: kms:Decrypt on resource: " + kKeyArn + " " + row.end);
  }
}

}  // namespace
}  // namespace cloister::iam
