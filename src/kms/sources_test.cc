#include "kms/sources.h"

#include "kms/sources_testing.h"

namespace cloister::kms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(SourcesTest, DocumentsAreStrict) {
  EXPECT_TRUE(parse_document(document("A"), {}));
  const char* refused[] = {
      "",
      "[]",
      "{}",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":"s","Token":"t"})",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":"s","Expiration":"2027-01-15T09:00:00Z"})",
      R"({"AccessKeyId":"short","SecretAccessKey":"s","Token":"t","Expiration":"2027-01-15T09:00:00Z"})",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":7,"Token":"t","Expiration":"2027-01-15T09:00:00Z"})",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":"s","Token":"t","Expiration":"tomorrow"})",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":"s","Token":"t","Expiration":"2027-01-15T09:00:00Z"})",
      R"({"AccessKeyId":"ASIAXXXXXXXXXXXX","SecretAccessKey":"hush","Token":"t","Expiration":"2027-01-15T09:00:00Z"} x)",
  };
  for (const char* text : refused) {
    auto parsed = parse_document(text, {});
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt);
    EXPECT_THAT(parsed.error().message(), Not(HasSubstr("hush")));
  }
}

TEST_F(SourcesTest, ContainersAreAskedOnlyWhereTheyMayBe) {
  EXPECT_EQ(from_container(surroundings())->load().error().kind(), ErrorKind::not_found);
  answer(http(200, document("TASK")));
  const std::pair<const char*, bool> rows[] = {
      {"http://127.0.0.1:9/x", true},      {"http://127.9.9.9/x", true},
      {"http://localhost:51679/x", true},  {"http://[::1]/x", true},
      {"http://169.254.170.2/x", true},    {"http://169.254.170.23/v1/credentials", true},
      {"http://[fd00:ec2::23]/x", true},   {"https://example.com/x", true},
      {"http://example.com/x", false},     {"http://127.0.0.1.example.com/x", false},
      {"http://169.254.169.254/x", false}, {"http://10.0.0.1/x", false},
      {"http://user@127.0.0.1/x", false},  {"ftp://127.0.0.1/x", false},
      {"http://127.0.0.1/x y", false},     {"http://127.0.0.1/x#y", false},
  };
  for (auto [url, good] : rows) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    auto before = dialled_.size();
    auto loaded = from_container(surroundings())->load();
    EXPECT_EQ(loaded.has_value(), good) << url;
    EXPECT_EQ(dialled_.size() - before, good ? 1U : 0U) << url;
    if (!good) EXPECT_NE(loaded.error().kind(), ErrorKind::not_found) << url;
  }
  variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/1";  // wins
  auto loaded = from_container(surroundings())->load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(dialled_.back(), "169.254.170.2");
  EXPECT_THAT(*sent_.back(), StartsWith("GET /v2/credentials/1 HTTP/1.1\r\n"));
  EXPECT_EQ(text_of(*loaded->session_token), "t/TASK");
  EXPECT_EQ(*loaded->expires, kTestNow + 3'600'000);
}

TEST_F(SourcesTest, ContainersAreShownTheirToken) {
  answer(http(200, document("TASK")));
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/x";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic abc";
  EXPECT_TRUE(from_container(surroundings())->load());
  EXPECT_THAT(*sent_.back(), HasSubstr("\r\nAuthorization: Basic abc\r\n"));
  ASSERT_TRUE(sys::write_file_atomic(home_ + "/token", as_bytes("from-file")));
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = home_ + "/token";
  EXPECT_TRUE(from_container(surroundings())->load());
  EXPECT_THAT(*sent_.back(), HasSubstr("\r\nAuthorization: from-file\r\n"));
  ASSERT_TRUE(sys::write_file_atomic(home_ + "/token", as_bytes("hush\r\nX-Evil: 1")));
  auto before = dialled_.size();
  auto loaded = from_container(surroundings())->load();
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message(), Not(HasSubstr("hush")));
  EXPECT_EQ(dialled_.size(), before);
}

TEST_F(SourcesTest, ContainersThatFailAreAskedAgainButNotForever) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/x";
  answer(http(500, ""));
  answer("");
  answer(http(200, document("TASK")));
  EXPECT_TRUE(from_container(surroundings())->load());
  scripts_ = {http(403, "")};
  auto before = dialled_.size();
  EXPECT_EQ(from_container(surroundings())->load().error().kind(), ErrorKind::denied);
  EXPECT_EQ(dialled_.size(), before + 1);
  scripts_ = {""};
  EXPECT_EQ(from_container(surroundings())->load().error().kind(), ErrorKind::unavailable);
  EXPECT_EQ(dialled_.size(), before + 4);
  scripts_ = {http(200, std::string(kMaxSourceAnswer + 1, ' '))};
  EXPECT_FALSE(from_container(surroundings())->load());
}

TEST_F(SourcesTest, InstancesAreAskedWithAToken) {
  answer(http(200, "tok"));
  answer(http(200, "host-role"));
  answer(http(200, document("INSTANCE")));
  auto loaded = from_instance(surroundings())->load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(text_of(loaded->secret_access_key), "s/INSTANCE");
  EXPECT_THAT(dialled_, ElementsAre("169.254.169.254", "169.254.169.254", "169.254.169.254"));
  EXPECT_THAT(*sent_[0], StartsWith("PUT /latest/api/token HTTP/1.1\r\n"));
  EXPECT_THAT(*sent_[0], HasSubstr("\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
  EXPECT_THAT(*sent_[1], StartsWith("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"));
  EXPECT_THAT(*sent_[2], StartsWith("GET /latest/meta-data/iam/security-credentials/host-role HTTP/1.1\r\n"));
  for (int i : {1, 2}) EXPECT_THAT(*sent_[i], HasSubstr("\r\nX-aws-ec2-metadata-token: tok\r\n"));
}

TEST_F(SourcesTest, WhatIsNoInstanceIsNoError) {
  EXPECT_EQ(from_instance(surroundings())->load().error().kind(), ErrorKind::not_found);
  EXPECT_EQ(dialled_.size(), 1U);  // one attempt, as the AWS CLI
  variables_["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "3";
  EXPECT_EQ(from_instance(surroundings())->load().error().kind(), ErrorKind::not_found);
  EXPECT_EQ(dialled_.size(), 4U);
  variables_["AWS_EC2_METADATA_DISABLED"] = "True";
  EXPECT_EQ(from_instance(surroundings())->load().error().kind(), ErrorKind::not_found);
  EXPECT_EQ(dialled_.size(), 4U);
  variables_.erase("AWS_EC2_METADATA_DISABLED");
  for (const char* bad : {"0", "x", "-1", "99999999999"}) {
    variables_["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = bad;
    EXPECT_EQ(from_instance(surroundings())->load().error().kind(), ErrorKind::invalid) << bad;
  }
}

TEST_F(SourcesTest, ATokenThatDoesNotComeIsTheHopLimit) {
  answer("");
  auto loaded = from_instance(surroundings())->load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::unavailable);
  EXPECT_THAT(loaded.error().hint(), HasSubstr("--http-put-response-hop-limit 2"));
}

TEST_F(SourcesTest, WithoutATokenNothingIsAskedUnlessItIsWanted) {
  for (int status : {403, 404, 405}) {
    scripts_ = {http(status, "")};
    dialled_.clear();
    variables_.erase("CLOISTER_ALLOW_IMDSV1");
    auto loaded = from_instance(surroundings())->load();
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().kind(), ErrorKind::denied);
    EXPECT_EQ(dialled_.size(), 1U) << status;
    scripts_ = {http(status, ""), http(200, "role"), http(200, document("OLD"))};
    dialled_.clear();
    variables_["CLOISTER_ALLOW_IMDSV1"] = "true";
    EXPECT_TRUE(from_instance(surroundings())->load()) << status;
    dialled_.clear();
    variables_["AWS_EC2_METADATA_V1_DISABLED"] = "true";
    EXPECT_FALSE(from_instance(surroundings())->load());
    EXPECT_EQ(dialled_.size(), 1U);
    variables_.erase("AWS_EC2_METADATA_V1_DISABLED");
  }
}

TEST_F(SourcesTest, InstancesMayLie) {
  const std::pair<std::vector<std::string>, ErrorKind> rows[] = {
      {{http(200, "a\r\nb")}, ErrorKind::denied},
      {{http(200, "tok"), http(404, "")}, ErrorKind::not_found},
      {{http(200, "tok"), http(200, "../../x")}, ErrorKind::corrupt},
      {{http(200, "tok"), http(200, "a b")}, ErrorKind::corrupt},
      {{http(200, "tok"), http(200, "")}, ErrorKind::corrupt},
      {{http(200, "tok"), http(401, "")}, ErrorKind::denied},
      {{http(200, "tok"), http(200, "role"), http(200, "<html>")}, ErrorKind::corrupt},
      {{http(200, "tok"), http(200, "role"), http(200, R"({"Code":"AssumeRoleUnauthorizedAccess"})")},
       ErrorKind::corrupt},
  };
  for (const auto& [scripts, kind] : rows) {
    scripts_ = scripts;
    dialled_.clear();
    auto loaded = from_instance(surroundings())->load();
    ASSERT_FALSE(loaded) << scripts.back();
    EXPECT_EQ(loaded.error().kind(), kind) << scripts.back();
  }
}

TEST_F(SourcesTest, AProcessPrintsCredentials) {
  EXPECT_EQ(from_process(surroundings())->load().error().kind(), ErrorKind::not_found);
  constexpr const char* kKeys = R"("AccessKeyId":"AKIAPROCESSPROCESS","SecretAccessKey":"hush")";
  struct Row {
    std::string command;
    const char* error;  // nullptr: credentials
  };
  const Row rows[] = {
      {fmt::format("/bin/echo '{{\"Version\":1,{}}}'", kKeys), nullptr},
      {fmt::format("echo \"{{\\\"Version\\\":1,\" '{}}}'", kKeys), nullptr},  // found in PATH
      {fmt::format("/bin/echo '{{\"Version\":2,{}}}'", kKeys), "Version is not 1"},
      {fmt::format("/bin/echo '{{{}}}'", kKeys), "Version is not 1"},
      {"/bin/echo $HOME", "JSON"},  // no shell
      {"/bin/false", "exit code 1"},
      {"/no/such/program", "exit code 127"},
      {"/bin/sh -c 'kill -9 $$'", "killed by signal 9"},
      {"/usr/bin/yes", "more than 65536 bytes"},
      {"/bin/echo 'open", "never closed"},
  };
  for (const auto& [command, error] : rows) {
    config(fmt::format("[default]\ncredential_process = {}\n", command));
    auto loaded = from_process(surroundings())->load();
    EXPECT_EQ(loaded.has_value(), error == nullptr) << command;
    if (loaded) EXPECT_EQ(text_of(loaded->secret_access_key), "hush");
    if (loaded || error == nullptr) continue;
    EXPECT_THAT(loaded.error().message(), HasSubstr(error)) << command;
    EXPECT_THAT(loaded.error().message() + loaded.error().hint(), Not(HasSubstr("hush")));
  }
}

TEST_F(SourcesTest, TheOrderIsThatOfTheAwsTools) {
  answer(http(200, document("TASK")));
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/x";
  auto first = [&] { return default_chain(surroundings()).load()->access_key_id; };
  EXPECT_EQ(first(), "ASIATASKXXXXXXXXXXXX");
  std::string text =
      "[default]\ncredential_process = /bin/echo '{\"Version\":1,\"AccessKeyId\":"
      "\"AKIAPROCESSPROCESS\",\"SecretAccessKey\":\"s\"}'\n";
  config(text);
  EXPECT_EQ(first(), "AKIAPROCESSPROCESS");
  config(text + "aws_access_key_id = FILE\naws_secret_access_key = s\n");
  EXPECT_EQ(first(), "FILE");
  scripts_ = {session("AssumeRole", "ROLE")};
  config(text +
         "aws_access_key_id = FILE\naws_secret_access_key = s\nrole_arn = r\nsource_profile = default\n");
  EXPECT_EQ(first(), "ASIAROLEXXXXXXXXXXXX");
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(first(), "ENV");
}

}  // namespace
}  // namespace cloister::kms
