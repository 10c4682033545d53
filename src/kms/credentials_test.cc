#include "kms/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>

#include "kms/profile.h"
#include "kms/sources.h"
#include "sys/file.h"

namespace cloister::kms {
namespace {

using testing::HasSubstr;

constexpr sys::UnixMillis kNow = 1'800'000'000'000;  // 2027-01-15T08:00:00Z

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cloister-aws-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    ASSERT_TRUE(sys::make_directories(home_ + "/.aws"));
    variables_["HOME"] = home_;
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  Environment environment() const {
    return [variables = variables_](std::string_view name) -> std::optional<std::string> {
      auto found = variables.find(std::string(name));
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
  }
  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(sys::write_file_atomic(home_ + "/" + path, as_bytes(text)));
  }
  // A machine with no network.
  Surroundings surroundings() const {
    return {environment(),
            [](const ServiceUrl&, sys::Deadline) -> Result<std::unique_ptr<sys::Stream>> {
              return fail(ErrorKind::unavailable, "no route");
            },
            clock_};
  }
  Result<Credentials> load() { return default_chain(surroundings()).load(); }

  sys::FixedClock clock_{kNow};
  std::string home_;
  std::map<std::string, std::string> variables_;
};

std::string text_of(const Secret& secret) {
  return std::string(as_text(secret.view()));
}

TEST_F(CredentialsTest, NoneAnywhere) {
  auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(loaded.error().message(),
              HasSubstr("the environment, the profile's role, a web identity, the shared AWS files, "
                        "credential_process, the container, the EC2 instance"));
  EXPECT_FALSE(loaded.error().hint().empty());
}

TEST_F(CredentialsTest, TheEnvironmentComesFirst) {
  write(".aws/credentials", "[default]\naws_access_key_id = FILE\naws_secret_access_key = filesecret\n");
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "envsecret";
  auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->access_key_id, "ENV");
  EXPECT_EQ(text_of(loaded->secret_access_key), "envsecret");
  EXPECT_FALSE(loaded->session_token);

  variables_["AWS_SESSION_TOKEN"] = "token==";
  loaded = load();
  ASSERT_TRUE(loaded && loaded->session_token);
  auto copy = loaded->copy();
  EXPECT_EQ(text_of(*copy.session_token), "token==");
  EXPECT_EQ(text_of(copy.secret_access_key), "envsecret");
}

TEST_F(CredentialsTest, HalfAKeyIsAnErrorNotAnAbsence) {
  write(".aws/credentials", "[default]\naws_access_key_id = FILE\naws_secret_access_key = filesecret\n");
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::invalid);
  variables_.erase("AWS_ACCESS_KEY_ID");
  write(".aws/credentials", "[default]\naws_access_key_id = FILE\n");
  loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::invalid);
}

TEST_F(CredentialsTest, RefusesLinesThatAreNoSettings) {
  write(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key hush\n");
  auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message(), HasSubstr("credentials:3: neither"));
  EXPECT_EQ(loaded.error().message().find("hush"), std::string::npos);
  write(".aws/credentials", "[default\naws_access_key_id = A\n");
  EXPECT_THAT(load().error().message(), HasSubstr("credentials:1: neither"));
}

TEST_F(CredentialsTest, ReadsTheProfileAskedFor) {
  write(
      ".aws/credentials",
      "# comment\r\n[other]\r\naws_access_key_id=OTHER\r\naws_secret_access_key=other/secret+=\r\n"
      "aws_session_token = tok=en \r\n\n[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = d\n");
  EXPECT_EQ(load()->access_key_id, "DEFAULT");
  variables_["AWS_PROFILE"] = "other";
  auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->access_key_id, "OTHER");
  EXPECT_EQ(text_of(loaded->secret_access_key), "other/secret+=");
  EXPECT_EQ(text_of(*loaded->session_token), "tok=en");
  variables_["AWS_PROFILE"] = "absent";
  loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::invalid);
  EXPECT_THAT(loaded.error().message(), HasSubstr("'absent'"));
}

TEST_F(CredentialsTest, ConfigHoldsProfilesToo) {
  write(".aws/config",
        "[profile a b]\ns3 =\n  aws_access_key_id = NESTED\naws_access_key_id = CONFIG\n"
        "aws_secret_access_key = c\n[b]\naws_access_key_id = WRONG\n");
  variables_["AWS_PROFILE"] = "a b";
  auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->access_key_id, "CONFIG");
  variables_["AWS_PROFILE"] = "b";
  EXPECT_FALSE(load());
}

TEST_F(CredentialsTest, FilesCanBeElsewhere) {
  write("creds", "[default]\naws_access_key_id = ELSEWHERE\naws_secret_access_key = s\n");
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = "~/creds";
  EXPECT_EQ(load()->access_key_id, "ELSEWHERE");
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = home_ + "/creds";
  EXPECT_EQ(load()->access_key_id, "ELSEWHERE");
}

TEST_F(CredentialsTest, SaysWhatItCannotDo) {
  write(".aws/config", "[default]\nsso_session = work\n");
  auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind(), ErrorKind::invalid);
  EXPECT_THAT(loaded.error().hint(), HasSubstr("aws configure export-credentials"));
}

TEST_F(CredentialsTest, ErrorsHoldNoSecret) {
  write(".aws/credentials", "[default]\naws_secret_access_key = hush\naws_session_token = hush\n");
  auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message().find("hush"), std::string::npos);
}

TEST_F(CredentialsTest, RefusesWhatHasExpired) {
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "envsecret";
  variables_["AWS_CREDENTIAL_EXPIRATION"] = "2027-01-15T08:00:01Z";
  EXPECT_TRUE(load());
  for (const char* past : {"2027-01-15T08:00:00Z", "2027-01-15T09:30:00.123+01:30", "2020-01-01T00:00:00Z"}) {
    variables_["AWS_CREDENTIAL_EXPIRATION"] = past;
    auto loaded = load();
    ASSERT_FALSE(loaded) << past;
    EXPECT_EQ(loaded.error().kind(), ErrorKind::denied);
    EXPECT_THAT(loaded.error().message(), HasSubstr("the environment: they expired at 20"));
    EXPECT_FALSE(loaded.error().hint().empty());
  }
  variables_["AWS_CREDENTIAL_EXPIRATION"] = "soon";
  EXPECT_EQ(load().error().kind(), ErrorKind::invalid);
}

TEST_F(CredentialsTest, TheChainIsExtensible) {
  class Fixed final : public CredentialSource {
   public:
    std::string name() const override { return "a test"; }
    Result<Credentials> load() override { return Credentials{"FIXED", Secret(as_bytes("s")), std::nullopt}; }
  };
  auto chain = default_chain(surroundings());
  chain.add(std::make_unique<Fixed>());
  EXPECT_EQ(chain.load()->access_key_id, "FIXED");
}

TEST_F(CredentialsTest, FindsTheRegion) {
  auto absent = find_region(environment());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind(), ErrorKind::not_found);
  write(".aws/config", "[default]\nregion = eu-west-3\n[profile p]\nregion=us-east-2\n");
  EXPECT_EQ(*find_region(environment()), "eu-west-3");
  variables_["AWS_PROFILE"] = "p";
  EXPECT_EQ(*find_region(environment()), "us-east-2");
  variables_["AWS_DEFAULT_REGION"] = "ap-south-1";
  EXPECT_EQ(*find_region(environment()), "ap-south-1");
  variables_["AWS_REGION"] = "sa-east-1";
  EXPECT_EQ(*find_region(environment()), "sa-east-1");
  variables_["AWS_REGION"] = "evil.example";
  auto refused = find_region(environment());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
}

}  // namespace
}  // namespace cloister::kms
