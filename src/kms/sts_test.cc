#include "kms/sts.h"

#include "kms/scope.h"
#include "kms/sources_testing.h"
#include "kms/sts_answer.h"

namespace cloister::kms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using StsTest = SourcesTest;

TEST_F(StsTest, XmlIsReadStrictly) {
  std::vector<std::string> seen;
  auto read = [&](std::string_view xml) {
    seen.clear();
    return visit_xml(xml, [&](auto path, auto text) { seen.push_back(fmt::format("{}={}", path, text)); });
  };
  ASSERT_TRUE(
      read("<?xml version=\"1.0\"?>\n<a xmlns=\"u\">\n <b>x&amp;&lt;&#65;&#x42;</b> <c/><d></d>\n</a>\n"));
  EXPECT_THAT(seen, ElementsAre("a/b=x&<AB", "a/c=", "a/d="));
  std::string deep;
  for (std::size_t i = 0; i <= kMaxXmlDepth; ++i) deep += "<a>";
  std::string wide = "<a>";
  for (std::size_t i = 0; i <= kMaxXmlElements; ++i) wide += "<b/>";
  const std::string refused[] = {"",
                                 " ",
                                 "x",
                                 "<a>",
                                 "<a",
                                 "</a>",
                                 "<a></b>",
                                 "<a><b></a></b>",
                                 "<a/><b/>",
                                 "<a>x<b/></a>",
                                 "<a><b/>x</a>",
                                 "<>",
                                 "<a>&x;</a>",
                                 "<a>&#0;</a>",
                                 "<a>&#999;</a>",
                                 "<a>&amp</a>",
                                 "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
                                 "<a><![CDATA[x]]></a>",
                                 "<a><!-- x --></a>",
                                 "<a><?x ?></a>",
                                 "<a <b>></a>",
                                 "<a:b>x</a:b>",
                                 deep,
                                 wide + "</a>",
                                 "<" + std::string(kMaxXmlName + 1, 'a') + "/>"};
  for (const auto& xml : refused) EXPECT_FALSE(read(xml)) << xml;
}

TEST_F(StsTest, AnswersAreWhole) {
  auto body = [](const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); };
  auto good = body(session("AssumeRole", "A"));
  auto parsed = parse_sts_credentials("AssumeRole", good);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(text_of(*parsed->session_token), "t/A");
  EXPECT_FALSE(parse_sts_credentials("GetFederationToken", good));
  for (std::string member : {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}) {
    auto begin = good.find("<" + member + ">");
    auto end = good.find("</" + member + ">") + member.size() + 3;
    auto element = good.substr(begin, end - begin);
    auto without = good, twice = good, odd = good;
    EXPECT_FALSE(parse_sts_credentials("AssumeRole", without.erase(begin, end - begin))) << member;
    EXPECT_FALSE(parse_sts_credentials("AssumeRole", twice.insert(begin, element))) << member;
    odd.insert(begin + member.size() + 2, "&#10;");
    EXPECT_FALSE(parse_sts_credentials("AssumeRole", odd)) << member;
  }
}

TEST_F(StsTest, RequestsAreSignedForTheRegion) {
  answer(session("AssumeRole", "A"));
  Credentials caller{"AKIDAKIDAKIDAKID", Secret(as_bytes("hush")), Secret(as_bytes("tok"))};
  auto sts = Sts::find(surroundings(), "eu-central-1");
  ASSERT_TRUE(sts);
  auto made = sts->assume_role(
      caller, {.arn = "arn:aws:iam::1:role/a b", .session_name = "n", .seconds = 900, .policy = "{\"x\"}"});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(dialled_.back(), "sts.eu-central-1.amazonaws.com");
  EXPECT_THAT(*sent_.back(), HasSubstr("/20270115/eu-central-1/sts/aws4_request"));
  EXPECT_THAT(*sent_.back(), HasSubstr("\r\nX-Amz-Security-Token: tok\r\n"));
  EXPECT_THAT(
      *sent_.back(),
      HasSubstr("\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b"
                "&RoleSessionName=n&DurationSeconds=900&Policy=%7B%22x%22%7D"));
  variables_["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:99";
  EXPECT_TRUE(Sts::find(surroundings(), "eu-central-1")->assume_role(caller, {}));
  EXPECT_EQ(dialled_.back(), "127.0.0.1:99");
}

TEST_F(StsTest, RefusalsSayWhatToDo) {
  Credentials caller{"AKIDAKIDAKIDAKID", Secret(as_bytes("hush")), std::nullopt};
  struct Row {
    int status;
    const char* code;
    ErrorKind kind;
    std::size_t asked;
  };
  const Row rows[] = {{403, "AccessDenied", ErrorKind::denied, 1},
                      {403, "ExpiredToken", ErrorKind::denied, 1},
                      {400, "PackedPolicyTooLarge", ErrorKind::exhausted, 1},
                      {400, "MalformedPolicyDocument", ErrorKind::invalid, 1},
                      {400, "Throttling", ErrorKind::unavailable, 3},
                      {503, "ServiceUnavailable", ErrorKind::unavailable, 3}};
  for (const auto& [status, code, kind, asked] : rows) {
    scripts_ = {http(
        status,
        fmt::format("<ErrorResponse><Error><Code>{}</Code><Message>no\x1b</Message></Error></ErrorResponse>",
                    code))};
    dialled_.clear();
    auto made = Sts::find(surroundings(), "eu-central-1")->caller_arn(caller);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().kind(), kind) << code;
    EXPECT_THAT(made.error().message(), HasSubstr(fmt::format("STS GetCallerIdentity: {}: no\\x1b", code)));
    EXPECT_THAT(made.error().message() + made.error().hint(), Not(HasSubstr("hush")));
    EXPECT_EQ(dialled_.size(), asked) << code;
  }
  scripts_ = {http(502, "<html>")};
  EXPECT_THAT(Sts::find(surroundings(), "eu-central-1")->caller_arn(caller).error().message(),
              HasSubstr("502"));
}

TEST_F(StsTest, RolesInARow) {
  config(
      "[default]\nrole_arn = first\nsource_profile = middle\nexternal_id = x1\nrole_session_name = me\n"
      "[profile middle]\nrole_arn = second\nsource_profile = base\nduration_seconds = 1200\n"
      "[profile base]\naws_access_key_id = AKIDBASEBASEBASE\naws_secret_access_key = hush\n");
  scripts_ = {session("AssumeRole", "MID"), session("AssumeRole", "END")};
  SessionScope scope{.policy = "P"};
  auto loaded = from_roles(surroundings(&scope))->load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->access_key_id, "ASIAENDXXXXXXXXXXXXX");
  EXPECT_TRUE(scope.applied);
  EXPECT_THAT(*sent_[0], HasSubstr("Credential=AKIDBASEBASEBASE/"));
  EXPECT_THAT(*sent_[0],
              HasSubstr("RoleArn=second&RoleSessionName=cloister-1800000000000&DurationSeconds=1200"));
  EXPECT_THAT(*sent_[0], Not(HasSubstr("Policy=")));
  EXPECT_THAT(*sent_[1], HasSubstr("Credential=ASIAMIDXXXXXXXXXXXXX/"));
  EXPECT_THAT(*sent_[1],
              HasSubstr("RoleArn=first&RoleSessionName=me&ExternalId=x1&DurationSeconds=900&Policy=P"));
}

TEST_F(StsTest, ProfilesThatCannotBe) {
  std::string row_of_roles;
  for (int i = 0; i < 9; ++i)
    row_of_roles += fmt::format("[profile p{}]\nrole_arn = r\nsource_profile = p{}\n", i, i + 1);
  row_of_roles +=
      "[profile p9]\naws_access_key_id = A\naws_secret_access_key = s\n[default]\nrole_arn = "
      "r\nsource_profile = p1\n";
  const std::pair<std::string, const char*> rows[] = {
      {"[default]\nrole_arn = r\n", "neither of source_profile and credential_source"},
      {"[default]\nrole_arn = r\nsource_profile = a\ncredential_source = Environment\n",
       "both source_profile"},
      {"[default]\nrole_arn = r\ncredential_source = Moon\n", "not 'Moon'"},
      {"[default]\nrole_arn = r\nsource_profile = default\n", "leads back to itself"},
      {"[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nrole_arn = r\nsource_profile = default\n",
       "leads back to itself"},
      {"[default]\nrole_arn = r\nsource_profile = gone\n", "'gone' is not in the shared AWS files"},
      {"[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nregion = x\n", "'a' has no credentials"},
      {"[default]\nrole_arn = r\nsource_profile = default\nmfa_serial = m\n", "wants a code (mfa_serial)"},
      {"[default]\nrole_arn = r\nsource_profile = default\nduration_seconds = 5\naws_access_key_id = "
       "A\naws_secret_access_key = s\n",
       "duration_seconds"},
      {row_of_roles, "more than 8 roles in a row"},
  };
  for (const auto& [text, error] : rows) {
    config(text);
    auto loaded = from_roles(surroundings())->load();
    ASSERT_FALSE(loaded) << text;
    EXPECT_EQ(loaded.error().kind(), ErrorKind::invalid) << text;
    EXPECT_THAT(loaded.error().message(), HasSubstr(error)) << text;
    EXPECT_TRUE(dialled_.empty()) << text;
  }
}

TEST_F(StsTest, RolesOfOtherSources) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/x";
  config("[default]\nrole_arn = r\ncredential_source = EcsContainer\n");
  scripts_ = {http(200, document("TASK")), session("AssumeRole", "A")};
  ASSERT_TRUE(from_roles(surroundings())->load());
  EXPECT_THAT(*sent_.back(), HasSubstr("Credential=ASIATASKXXXXXXXXXXXX/"));
  dialled_.clear();
  config("[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n");
  scripts_ = {http(200, "tok"), http(200, "role"), http(200, document("INSTANCE")),
              session("AssumeRole", "A")};
  ASSERT_TRUE(from_roles(surroundings())->load());
  EXPECT_THAT(*sent_.back(), HasSubstr("Credential=ASIAINSTANCEXXXXXXXX/"));
}

TEST_F(StsTest, AWebIdentityIsARoleToo) {
  EXPECT_EQ(from_web_identity(surroundings())->load().error().kind(), ErrorKind::not_found);
  ASSERT_TRUE(sys::write_file_atomic(home_ + "/jwt", as_bytes("aaa.bbb\n")));
  variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = home_ + "/jwt";
  EXPECT_EQ(from_web_identity(surroundings())->load().error().kind(), ErrorKind::invalid);
  variables_["AWS_ROLE_ARN"] = "r";
  scripts_ = {session("AssumeRoleWithWebIdentity", "WEB")};
  SessionScope scope{.policy = "P"};
  ASSERT_TRUE(from_web_identity(surroundings(&scope))->load());
  EXPECT_TRUE(scope.applied);
  EXPECT_THAT(*sent_.back(), HasSubstr("WebIdentityToken=aaa.bbb&DurationSeconds=900&Policy=P"));
  EXPECT_THAT(*sent_.back(), Not(HasSubstr("Authorization")));
}

constexpr const char* kKey = "arn:aws:kms:eu-central-1:111122223333:key/50f0c510-7f25-428e-a634-7d61b2239391";

TEST_F(StsTest, NarrowsByWhatTheCredentialsAre) {
  auto scope = decrypt_only(*KeyArn::parse(kKey));
  EXPECT_EQ(
      scope.policy,
      fmt::format(
          "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\","
          "\"Resource\":\"{}\"}}]}}",
          kKey));
  auto sts = Sts::find(surroundings(), "eu-central-1");
  Credentials user{"AKIDAKIDAKIDAKID", Secret(as_bytes("s")), std::nullopt};
  Credentials role{"ASIDASIDASIDASID", Secret(as_bytes("s")), Secret(as_bytes("t"))};
  scripts_ = {session("GetFederationToken", "F")};
  EXPECT_TRUE(narrow(*sts, user, scope, "", clock_));
  EXPECT_THAT(*sent_.back(),
              HasSubstr("Action=GetFederationToken&Version=2011-06-15&Name=cloister&Policy=%7B"));
  scripts_ = {session("AssumeRole", "A")};
  EXPECT_TRUE(narrow(*sts, user, scope, "arn:r", clock_));
  EXPECT_THAT(*sent_.back(), HasSubstr("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ar&"));
  auto identity = [&](std::string_view arn) {
    return http(
        200, fmt::format(
                 "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{}</Arn></GetCallerIdentityResult>"
                 "</GetCallerIdentityResponse>",
                 arn));
  };
  dialled_.clear();
  scripts_ = {identity("arn:aws:sts::111122223333:assumed-role/Host/i-1"), session("AssumeRole", "A")};
  EXPECT_TRUE(narrow(*sts, role, scope, "", clock_));
  EXPECT_THAT(*sent_.back(), HasSubstr("RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2FHost&"));
  for (const char* other : {"arn:aws:iam::111122223333:user/x", "arn:aws:sts::111122223333:federated-user/x",
                            "arn:aws:sts::111122223333:assumed-role/x", "x"}) {
    dialled_.clear();
    scripts_ = {identity(other)};
    EXPECT_FALSE(narrow(*sts, role, scope, "", clock_)) << other;
    EXPECT_EQ(dialled_.size(), 1U);
  }
}

}  // namespace
}  // namespace cloister::kms
