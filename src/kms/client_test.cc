#include "kms/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "http/scripted_stream.h"
#include "kms/sigv4.h"
#include "kms/times.h"

namespace cloister::kms {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kKey = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const std::string kOtherKey =
    "arn:aws:kms:eu-central-1:111122223333:key/00000000-12ab-34cd-56ef-1234567890ab";
constexpr sys::UnixMillis kNow = 1772323198000;  // 20260228T235958Z

std::string http_answer(int status, std::string_view body, std::string_view fields = "") {
  return fmt::format("HTTP/1.1 {} X\r\n{}Content-Length: {}\r\n\r\n{}", status, fields, body.size(), body);
}
std::string ok(std::string_view body) {
  return http_answer(200, body);
}
std::string refused(std::string_view type, int status = 400, std::string_view fields = "") {
  return http_answer(status, fmt::format(R"({{"__type":"{}","message":"m"}})", type), fields);
}

// A KMS that plays its answers one after another, a connection each. An empty one: nobody listens.
class ClientTest : public testing::Test {
 protected:
  Client client() {
    ClientConfig config;
    config.host = "kms.eu-central-1.amazonaws.com";
    config.region = "eu-central-1";
    config.connect = [this](const std::string& host, unsigned port, sys::Deadline) {
      return connect(host, port);
    };
    config.sleep = [this](sys::milliseconds time) { sleeps_.push_back(time); };
    config.on_notice = [this](const std::string& text) { notices_.push_back(text); };
    return {std::move(config),
            {"AKIDEXAMPLE", Secret(as_bytes("secret")), Secret(as_bytes("session-token"))},
            clock_};
  }

  Result<std::unique_ptr<sys::Stream>> connect(const std::string& host, unsigned port) {
    EXPECT_EQ(host, "kms.eu-central-1.amazonaws.com");
    EXPECT_EQ(port, 443U);
    if (answers_.empty()) return fail(ErrorKind::internal, "the script has no more answers");
    auto answer = std::move(answers_.front());
    answers_.pop_front();
    requests_.emplace_back();
    if (answer.empty()) return fail(ErrorKind::unavailable, "connection refused");
    return std::make_unique<http::ScriptedStream>(std::move(answer), 7, &requests_.back());
  }

  Result<Bytes> decrypt_for_recipient(std::string answer) {
    answers_ = {std::move(answer)};
    return client().decrypt_for_recipient(*KeyArn::parse(kKey), as_bytes("blob"), {{"a", "b"}},
                                          as_bytes("document"), {});
  }
  ErrorKind kind_for_recipient(std::string answer) {
    auto out = decrypt_for_recipient(std::move(answer));
    EXPECT_FALSE(out);
    return out ? ErrorKind::internal : out.error().kind();
  }

  sys::FixedClock clock_{kNow};
  std::deque<std::string> answers_;
  std::deque<std::string> requests_;
  std::vector<sys::milliseconds> sleeps_;
  std::vector<std::string> notices_;
};

TEST_F(ClientTest, DecryptsForARecipient) {
  auto out = decrypt_for_recipient(
      ok(R"({"KeyId":")" + kKey + R"(","CiphertextForRecipient":"Y21z","Plaintext":null})"));
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_EQ(*out, to_bytes("cms"));
  const auto& sent = requests_.at(0);
  EXPECT_THAT(sent, testing::StartsWith("POST / HTTP/1.1\r\nHost: kms.eu-central-1.amazonaws.com\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nContent-Type: application/x-amz-json-1.1\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nX-Amz-Target: TrentService.Decrypt\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nX-Amz-Date: 20260228T235958Z\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nX-Amz-Security-Token: session-token\r\n"));
  EXPECT_THAT(sent,
              HasSubstr("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,"));
  EXPECT_THAT(sent, HasSubstr(R"("EncryptionContext":{"a":"b"},"KeyId":")" + kKey + "\""));
  EXPECT_THAT(sent, HasSubstr(R"("KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256")"));
}

TEST_F(ClientTest, AHostileAnswerToTheEnclaveIsCorrupt) {
  for (const std::string& body : std::vector<std::string>{
           R"({"KeyId":")" + kKey + R"(","CiphertextForRecipient":"Y21z","Plaintext":"aGVyZQ=="})",
           R"({"KeyId":")" + kKey + R"(","Plaintext":"aGVyZQ=="})",
           R"({"KeyId":")" + kKey + R"(","CiphertextForRecipient":""})",
           R"({"KeyId":")" + kKey + R"("})",
           R"({"KeyId":")" + kOtherKey + R"(","CiphertextForRecipient":"Y21z"})",
           R"({"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","CiphertextForRecipient":"Y21z"})",
           std::string(R"({"CiphertextForRecipient":"Y21z"})"),
           R"({"KeyId":")" + kKey + R"(","CiphertextForRecipient":"Y21z","CiphertextForRecipient":"eHh4"})",
           R"({"KeyId":")" + kKey + R"(","CiphertextForRecipient":"Y21z"} )" + "{}",
           std::string("{}"),
           std::string(),
           std::string(1000, '['),
           std::string("\xff"),
       }) {
    EXPECT_EQ(kind_for_recipient(ok(body)), ErrorKind::corrupt) << body;
  }
  EXPECT_EQ(kind_for_recipient("HTTP/1.1 200 OK\r\n\r\nendless"), ErrorKind::corrupt);
  EXPECT_EQ(kind_for_recipient(http_answer(302, "")), ErrorKind::corrupt);
  EXPECT_EQ(kind_for_recipient(ok(std::string(kMaxAnswerBytes + 1, ' '))), ErrorKind::exhausted);
  EXPECT_TRUE(sleeps_.empty());
}

TEST_F(ClientTest, DeniedIsDeniedAtOnce) {
  auto out = decrypt_for_recipient(refused("AccessDeniedException"));
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().kind(), ErrorKind::denied);
  EXPECT_THAT(out.error().message(), testing::StartsWith("KMS Decrypt: AccessDeniedException"));
  EXPECT_FALSE(out.error().hint().empty());
  EXPECT_EQ(requests_.size(), 1U);
}

TEST_F(ClientTest, RetriesWhatMayPass) {
  answers_ = {"", refused("ThrottlingException"), http_answer(503, "busy"),
              ok(R"({"KeyId":")" + kKey + R"(","Plaintext":"aGVyZQ=="})")};
  auto kms = client();
  DecryptRequest request;
  request.ciphertext = to_bytes("blob");
  auto out = kms.decrypt(request, {});
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_EQ(as_text(out->view()), "here");
  ASSERT_EQ(sleeps_.size(), 3U);
  for (std::size_t i = 0; i < sleeps_.size(); ++i) EXPECT_LT(sleeps_[i], kFirstBackoff * (1 << i));
}

TEST_F(ClientTest, GivesUpInTheEnd) {
  answers_ = {"", "", "", "", "", ""};
  auto out = client().describe_key(kKey, {});
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().kind(), ErrorKind::unavailable);
  EXPECT_EQ(requests_.size(), static_cast<std::size_t>(kMaxAttempts));
}

TEST_F(ClientTest, DoesNotOutliveTheDeadline) {
  answers_ = {"", "", "", ""};
  auto out = client().describe_key(kKey, sys::Deadline::after(sys::milliseconds(0)));
  ASSERT_FALSE(out);
  EXPECT_EQ(requests_.size(), 1U);
  EXPECT_TRUE(sleeps_.empty());
}

TEST_F(ClientTest, MakesAKeyOnlyOnce) {
  answers_ = {"HTTP/1.1 200 OK\r\nContent-Le", "never asked"};
  auto out = client().create_key({}, {});
  ASSERT_FALSE(out);
  EXPECT_EQ(requests_.size(), 1U);
  // Nothing was sent: trying again is safe.
  answers_ = {"", ok(R"({"KeyMetadata":{"KeyId":"x","Arn":")" + kKey + R"("}})")};
  EXPECT_TRUE(client().create_key({}, {}));
}

TEST_F(ClientTest, CorrectsASkewedClockOnce) {
  auto date = fmt::format("Date: {}\r\n", format_http_date(kNow + 3600'000));
  answers_ = {refused("InvalidSignatureException", 400, date), ok(R"({"Policy":"{}"})"),
              ok(R"({"Policy":"{}"})"),
              refused("InvalidSignatureException", 400,
                      fmt::format("Date: {}\r\n", format_http_date(kNow - 7200'000)))};
  auto kms = client();
  ASSERT_TRUE(kms.get_key_policy(kKey, {}));
  EXPECT_THAT(requests_.at(0), HasSubstr("X-Amz-Date: 20260228T235958Z\r\n"));
  EXPECT_THAT(requests_.at(1), HasSubstr("X-Amz-Date: 20260301T005958Z\r\n"));
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_THAT(notices_.at(0), HasSubstr("3600 s behind"));
  ASSERT_TRUE(kms.get_key_policy(kKey, {}));
  EXPECT_THAT(requests_.at(2), HasSubstr("X-Amz-Date: 20260301T005958Z\r\n"));
  auto refused_again = kms.get_key_policy(kKey, {});
  ASSERT_FALSE(refused_again);
  EXPECT_EQ(refused_again.error().kind(), ErrorKind::denied);
  EXPECT_EQ(requests_.size(), 4U);
}

TEST_F(ClientTest, AWrongKeyIsNoSkew) {
  for (const auto& fields : {fmt::format("Date: {}\r\n", format_http_date(kNow + 60'000)), std::string(),
                             std::string("Date: tomorrow\r\n")}) {
    answers_ = {refused("InvalidSignatureException", 400, fields)};
    auto out = client().get_key_policy(kKey, {});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().kind(), ErrorKind::denied);
  }
  answers_ = {refused("AccessDeniedException", 400, fmt::format("Date: {}\r\n", format_http_date(0)))};
  EXPECT_FALSE(client().get_key_policy(kKey, {}));
  EXPECT_TRUE(notices_.empty());
}

TEST_F(ClientTest, SkewWithoutEndEnds) {
  auto date = fmt::format("Date: {}\r\n", format_http_date(kNow + 3600'000));
  answers_ = {"", "", "", refused("InvalidSignatureException", 400, date), "", "", "", ""};
  auto out = client().get_key_policy(kKey, {});
  ASSERT_FALSE(out);
  EXPECT_EQ(requests_.size(), 5U);
}

TEST_F(ClientTest, GeneratesDataKeys) {
  auto answer = [](const std::string& key, std::size_t size) {
    static const std::map<std::size_t, std::string> kPlain = {
        {32, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, {3, "AAAA"}, {0, ""}};
    return ok(fmt::format(R"({{"KeyId":"{}","CiphertextBlob":"YmxvYg==","Plaintext":"{}"}})", key,
                          kPlain.at(size)));
  };
  answers_ = {answer(kKey, 32)};
  auto out = client().generate_data_key("alias/mine", {{"a", "b"}}, {});
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_EQ(out->key_id, kKey);
  EXPECT_EQ(out->plaintext.size(), 32U);
  EXPECT_EQ(out->ciphertext, to_bytes("blob"));
  EXPECT_THAT(requests_.at(0),
              HasSubstr(R"({"EncryptionContext":{"a":"b"},"KeyId":"alias/mine","KeySpec":"AES_256"})"));
  for (const auto& bad :
       {answer(kKey, 3), answer(kKey, 0), answer(kOtherKey, 32), answer("alias/mine", 32)}) {
    answers_ = {bad};
    auto broken = client().generate_data_key(kKey, {}, {});
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().kind(), ErrorKind::corrupt);
  }
}

TEST_F(ClientTest, PlainDecryptChecksTheKey) {
  DecryptRequest request;
  request.key_id = kKey;
  request.ciphertext = to_bytes("blob");
  for (const auto& body :
       {R"({"KeyId":")" + kOtherKey + R"(","Plaintext":"aGVyZQ=="})", R"({"KeyId":")" + kKey + R"("})"}) {
    answers_ = {ok(body)};
    auto out = client().decrypt(request, {});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().kind(), ErrorKind::corrupt);
  }
}

TEST_F(ClientTest, ListsEveryPage) {
  answers_ = {ok(R"({"Keys":[{"KeyId":"a","KeyArn":"A"}],"Truncated":true,"NextMarker":"m1"})"),
              ok(R"({"Keys":[{"KeyId":"b","KeyArn":"B"}],"Truncated":false})")};
  auto keys = client().list_keys({});
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->size(), 2U);
  EXPECT_EQ(keys->at(1).arn, "B");
  EXPECT_THAT(requests_.at(0), Not(HasSubstr("Marker")));
  EXPECT_THAT(requests_.at(1), HasSubstr(R"("Marker":"m1")"));
  answers_.assign(kMaxPages + 1, ok(R"({"Aliases":[],"Truncated":true,"NextMarker":"again"})"));
  auto endless = client().list_aliases("", {});
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().kind(), ErrorKind::exhausted);
}

TEST_F(ClientTest, ListsGrants) {
  answers_ = {
      ok(R"({"Grants":[{"KeyId":"k","GrantId":"g1","GranteePrincipal":"arn:aws:iam::111122223333:role/a",)"
         R"("Operations":["Decrypt","CreateGrant"],"Constraints":{"EncryptionContextSubset":{"a":"b"}}}],)"
         R"("Truncated":true,"NextMarker":"m1"})"),
      ok(R"({"Grants":[{"GrantId":"g2","Name":"n","GranteePrincipal":"x.amazonaws.com"}]})")};
  auto grants = client().list_grants(kKey, {});
  ASSERT_TRUE(grants) << grants.error().message();
  ASSERT_EQ(grants->size(), 2U);
  EXPECT_EQ(grants->at(0).operations, (std::vector<std::string>{"Decrypt", "CreateGrant"}));
  EXPECT_TRUE(grants->at(0).constrained);
  EXPECT_EQ(grants->at(1).grantee, "x.amazonaws.com");
  EXPECT_FALSE(grants->at(1).constrained);
  EXPECT_THAT(requests_.at(0), HasSubstr(R"({"KeyId":")" + kKey + R"(","Limit":25})"));
  EXPECT_THAT(requests_.at(1), HasSubstr(R"("Marker":"m1")"));
  for (const char* bad :
       {R"({"Grants":{}})", R"({"Grants":[{"GranteePrincipal":"x"}]})", R"({"Grants":[{"GrantId":"g"}]})",
        R"({"Grants":[{"GrantId":"g","GranteePrincipal":"x","Operations":"Decrypt"}]})",
        R"({"Grants":[{"GrantId":"g","GranteePrincipal":"x","Operations":[1]}]})"}) {
    answers_ = {ok(bad)};
    auto out = client().list_grants(kKey, {});
    ASSERT_FALSE(out) << bad;
    EXPECT_EQ(out.error().kind(), ErrorKind::corrupt);
  }
  answers_.assign(kMaxGrantPages + 1, ok(R"({"Grants":[],"Truncated":true,"NextMarker":"again"})"));
  EXPECT_EQ(client().list_grants(kKey, {}).error().kind(), ErrorKind::exhausted);
}

TEST_F(ClientTest, TheRestOfTheOperations) {
  answers_ = {ok(R"({"KeyId":")" + kKey + R"(","CiphertextBlob":"YmxvYg=="})"),
              http_answer(200, ""),
              http_answer(200, ""),
              http_answer(200, ""),
              http_answer(200, ""),
              ok(R"({"KeyMetadata":{"KeyId":"x","Arn":")" + kOtherKey + R"("}})")};
  auto kms = client();
  EncryptRequest request;
  request.key_id = kKey;
  request.plaintext = Secret(as_bytes("p"));
  EXPECT_TRUE(kms.encrypt(request, {}));
  EXPECT_TRUE(kms.create_alias({"alias/a", kKey}, {}));
  EXPECT_TRUE(kms.put_key_policy({kKey, "default", "{}", false}, {}));
  EXPECT_TRUE(kms.disable_key(kKey, {}));
  EXPECT_TRUE(kms.enable_key(kKey, {}));
  EXPECT_FALSE(kms.describe_key(kKey, {}));
  const char* kTargets[] = {"Encrypt",    "CreateAlias", "PutKeyPolicy",
                            "DisableKey", "EnableKey",   "DescribeKey"};
  for (std::size_t i = 0; i < std::size(kTargets); ++i) {
    EXPECT_THAT(requests_.at(i), HasSubstr(fmt::format("X-Amz-Target: TrentService.{}\r\n", kTargets[i])));
  }
}

TEST_F(ClientTest, ErrorsHoldNoCredential) {
  for (const auto& answer : {std::string(), refused("AccessDeniedException"), ok("{}")}) {
    answers_ = {answer, "", "", ""};
    auto out = client().describe_key(kKey, {});
    ASSERT_FALSE(out);
    EXPECT_THAT(out.error().message() + out.error().hint(), Not(HasSubstr("session-token")));
  }
}

TEST_F(ClientTest, AsksWhetherItMayDecryptWithoutDoingIt) {
  answers_ = {refused("DryRunOperationException"), refused("AccessDeniedException")};
  auto allowed = client().dry_run_decrypt({.key_id = kKey, .ciphertext = {1}}, {});
  ASSERT_TRUE(allowed);
  EXPECT_EQ(allowed->type, "DryRunOperationException");
  EXPECT_THAT(requests_.front(), HasSubstr(R"("DryRun":true)"));
  EXPECT_EQ(client().dry_run_decrypt({.key_id = kKey, .ciphertext = {1}}, {})->type, "AccessDeniedException");
}

TEST_F(ClientTest, DoesNotTakeAnAnswerForADryRun) {
  answers_ = {ok(R"({"KeyId":"x","Plaintext":"AAAA"})")};
  EXPECT_FALSE(client().dry_run_decrypt({.key_id = kKey, .ciphertext = {1}}, {}));
}

}  // namespace
}  // namespace cloister::kms
