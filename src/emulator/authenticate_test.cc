// Who is let in, and in which words the others are not.
#include <gmock/gmock.h>

#include "emulator/access_key.h"
#include "emulator/api_fixture.h"
#include "emulator/session.h"

namespace cloister::emulator {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class AuthenticateTest : public ApiTest {
 protected:
  http::Request signed_request(const kms::Credentials& who, sys::UnixMillis at = kNow) const {
    auto made = request("ListKeys", json::object());
    EXPECT_TRUE(kms::sign(made, who, "us-east-1", "kms", at));
    return made;
  }
  kms::Credentials session(const std::string& name, std::optional<std::string> policy = {},
                           sys::UnixMillis lifetime = kShortestSession) const {
    auto made = make_session(
        *store_, {.role_arn = kHost, .name = name, .lifetime = lifetime, .policy = std::move(policy)}, kNow);
    EXPECT_TRUE(made) << made.error().message();
    return {made->first.access_key_id, std::move(made->first.secret), std::move(made->second)};
  }
};

TEST_F(AuthenticateTest, MalformedAuthorizationIsNamedAsAwsDoes) {
  struct Row {
    const char* find;  // in the field; replaced by…
    const char* replacement;
    const char* type;
    const char* message;
  };
  const Row kTable[] = {
      {"AWS4-HMAC-SHA256", "Bearer", "IncompleteSignatureException", "requires 'Credential' parameter"},
      {"Credential=", "Credentials=", "IncompleteSignatureException", "requires 'Credential' parameter"},
      {"SignedHeaders=", "Headers=", "IncompleteSignatureException", "requires 'SignedHeaders' parameter"},
      {"Signature=", "Sig=", "IncompleteSignatureException", "requires 'Signature' parameter"},
      {"/us-east-1", "", "IncompleteSignatureException", "exactly 5 slash-delimited elements"},
      {"aws4_request", "aws5_request", "InvalidSignatureException", "valid terminator: 'aws4_request'"},
      {"us-east-1", "us-west-2", "InvalidSignatureException", "valid region, not 'us-west-2'"},
      {"/kms/", "/s3/", "InvalidSignatureException", "correct service: 'kms'"},
      {"20270115", "20270114", "InvalidSignatureException",
       "Date in Credential scope does not match YYYYMMDD"},
      {";host", "", "InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader'"},
      {";x-amz-date", "", "IncompleteSignatureException", "x-amz-date is not signed"},
      {";x-amz-target", "", "IncompleteSignatureException", "x-amz-target is not signed"},
  };
  for (const auto& row : kTable) {
    auto made = signed_request(owner_);
    std::string field(made.fields.get("Authorization"));
    auto at = field.find(row.find);
    ASSERT_NE(at, std::string::npos) << row.find;
    made.fields.set("Authorization", field.replace(at, std::string_view(row.find).size(), row.replacement));
    auto answer = send(made);
    EXPECT_EQ(answer.status, 400) << row.find;
    EXPECT_EQ(answer.error(), row.type) << row.find;
    EXPECT_THAT(answer.message(), HasSubstr(row.message));
    EXPECT_THAT(answer.message(), Not(HasSubstr("Signature="))) << "credentials do not come back";
  }
}

TEST_F(AuthenticateTest, DatesThatAreNoneAreRefused) {
  struct Row {
    const char* date;
    const char* message;
  };
  const Row kTable[] = {{"", "existence of either a 'X-Amz-Date' or a 'Date' header"},
                        {"2027-01-15T08:00:00Z", "ISO-8601 'basic format'"},
                        {"20270115", "ISO-8601 'basic format'"},
                        {"20270115T080000", "ISO-8601 'basic format'"},
                        {"Fri, 15 Jan 2027 08:00:00 GMT", "ISO-8601 'basic format'"}};
  for (const auto& row : kTable) {
    auto made = signed_request(owner_);
    made.fields.set("X-Amz-Date", row.date);
    auto answer = send(made);
    EXPECT_EQ(answer.error(), "IncompleteSignatureException") << row.date;
    EXPECT_THAT(answer.message(), HasSubstr(row.message));
  }
}

TEST_F(AuthenticateTest, NothingAtAllIsAMissingToken) {
  auto answer = send(request("ListKeys", json::object()));
  EXPECT_EQ(answer.error(), "MissingAuthenticationTokenException");
  EXPECT_EQ(answer.message(), "Missing Authentication Token");
}

TEST_F(AuthenticateTest, SessionsSpeakForTheirRoleUnderTheirName) {
  auto made = call(session("job-7"), "ListKeys", json::object());
  EXPECT_EQ(made.error(), "AccessDeniedException");
  EXPECT_THAT(made.message(), HasSubstr("arn:aws:sts::111122223333:assumed-role/enclave-host/job-7 is not"));
}

TEST_F(AuthenticateTest, SessionsExpire) {
  auto temporary = session("job");
  EXPECT_THAT(temporary.access_key_id, MatchesRegex("ASIA[A-Z2-7]{16}"));
  auto last = kNow + kShortestSession - 1;
  EXPECT_EQ(send(signed_request(temporary, last), last).error(), "AccessDeniedException");
  auto late = send(signed_request(temporary, last + 1), last + 1);
  EXPECT_EQ(late.error(), "ExpiredTokenException");
  EXPECT_EQ(late.message(), "The security token included in the request is expired");
}

TEST_F(AuthenticateTest, KeysAndTokensBelongTogether) {
  auto one = session("one");
  auto two = session("two");
  auto token = std::string(as_text(one.session_token->view()));
  auto changed = token;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  struct Row {
    const char* what;
    kms::Credentials credentials;
  };
  std::vector<Row> table;
  table.push_back({"no token", {one.access_key_id, one.secret_access_key.copy(), {}}});
  table.push_back(
      {"another session's", {one.access_key_id, one.secret_access_key.copy(), two.session_token->copy()}});
  table.push_back({"changed", {one.access_key_id, one.secret_access_key.copy(), Secret(as_bytes(changed))}});
  table.push_back(
      {"no token of ours", {one.access_key_id, one.secret_access_key.copy(), Secret(as_bytes("dG9rZW4="))}});
  table.push_back({"with a long-lived key",
                   {owner_.access_key_id, owner_.secret_access_key.copy(), one.session_token->copy()}});
  for (const auto& row : table) {
    auto answer = send(signed_request(row.credentials));
    EXPECT_EQ(answer.error(), "UnrecognizedClientException") << row.what;
    EXPECT_EQ(answer.message(), "The security token included in the request is invalid.");
  }
  auto forged =
      send(signed_request({one.access_key_id, two.secret_access_key.copy(), one.session_token->copy()}));
  EXPECT_EQ(forged.error(), "InvalidSignatureException");
}

TEST_F(AuthenticateTest, SessionPoliciesNarrow) {
  auto key = new_key();
  put_policy(key, {{"Effect", "Allow"},
                   {"Principal", {{"AWS", kHost}}},
                   {"Action", {"kms:Decrypt", "kms:Encrypt"}},
                   {"Resource", "*"}});
  auto narrow = session("job", R"({"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}})");
  EXPECT_EQ(call(narrow, "Decrypt", {{"CiphertextBlob", encrypt(key, "x")}}).status, 200);
  auto refused = call(narrow, "Encrypt", {{"KeyId", key}, {"Plaintext", "AAAA"}});
  EXPECT_THAT(refused.message(), HasSubstr("because no session policy allows the kms:Encrypt action"));
  EXPECT_EQ(call(session("job"), "Encrypt", {{"KeyId", key}, {"Plaintext", "AAAA"}}).status, 200);
}

TEST_F(AuthenticateTest, SessionsHaveLimits) {
  auto make = [&](const std::string& name, sys::UnixMillis lifetime, std::optional<std::string> policy) {
    return make_session(*store_,
                        {.role_arn = kHost, .name = name, .lifetime = lifetime, .policy = std::move(policy)},
                        kNow)
        .has_value();
  };
  EXPECT_TRUE(make("ab", kLongestSession, {}));
  EXPECT_FALSE(make("a", kLongestSession, {}));
  EXPECT_FALSE(make("a/b", kLongestSession, {}));
  EXPECT_FALSE(make(std::string(65, 'a'), kLongestSession, {}));
  EXPECT_FALSE(make("ab", kShortestSession - 1, {}));
  EXPECT_FALSE(make("ab", kLongestSession + 1, {}));
  EXPECT_FALSE(make("ab", kLongestSession, "{}"));
  EXPECT_FALSE(make("ab", kLongestSession, std::string(kAllowAll) + std::string(kMaxSessionPolicy, ' ')));
  // The longest policy still makes a token that fits into a header.
  EXPECT_TRUE(make("ab", kLongestSession,
                   kAllowAll + std::string(kMaxSessionPolicy - std::string_view(kAllowAll).size(), ' ')));
}

}  // namespace
}  // namespace cloister::emulator
