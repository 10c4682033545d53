#include "kms/arn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kms/endpoint.h"

namespace cloister::kms {
namespace {

using testing::HasSubstr;

const std::string kId = "1234abcd-12ab-34cd-56ef-1234567890ab";
const std::string kArn = "arn:aws:kms:eu-central-1:111122223333:key/" + kId;

TEST(KeyArn, ReadsFullArns) {
  for (const auto& text :
       {kArn, "arn:aws-cn:kms:cn-north-1:111122223333:key/" + kId,
        "arn:aws-us-gov:kms:us-gov-west-1:000000000000:key/" + kId,
        std::string("arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab")}) {
    auto arn = KeyArn::parse(text);
    ASSERT_TRUE(arn) << text;
    EXPECT_EQ(arn->to_string(), text);
  }
  EXPECT_EQ(KeyArn::parse(kArn)->region, "eu-central-1");
}

TEST(KeyArn, RefusesEverythingElse) {
  auto with_region = [](std::string_view region) {
    return fmt::format("arn:aws:kms:{}:111122223333:key/{}", region, kId);
  };
  for (const std::string& text : std::vector<std::string>{
           std::string(),
           std::string("arn"),
           kId,
           std::string("alias/mine"),
           std::string("arn:aws:kms:eu-central-1:111122223333:alias/mine"),
           "key/" + kId,
           "ARN:aws:kms:eu-central-1:111122223333:key/" + kId,
           "arn:aws-iso:kms:us-iso-east-1:111122223333:key/" + kId,
           "arn:aws:s3:eu-central-1:111122223333:key/" + kId,
           with_region(""),
           with_region("EU-central-1"),
           with_region("eu.central.1"),
           with_region("evil.example/"),
           with_region("-eu"),
           with_region("eu-"),
           with_region("a@b"),
           with_region(std::string(33, 'a')),
           "arn:aws:kms:eu-central-1:11112222333:key/" + kId,
           "arn:aws:kms:eu-central-1:1111222233334:key/" + kId,
           "arn:aws:kms:eu-central-1:11112222333x:key/" + kId,
           "arn:aws:kms:eu-central-1::key/" + kId,
           kArn + "0",
           kArn + "\n",
           kArn + " ",
           " " + kArn,
           kArn + ":x",
           kArn.substr(0, kArn.size() - 1),
           "arn:aws:kms:eu-central-1:111122223333:key/" + std::string(36, 'a'),
           "arn:aws:kms:eu-central-1:111122223333:key/1234ABCD-12ab-34cd-56ef-1234567890ab",
           std::string("arn:aws:kms:eu-central-1:111122223333:key/mrk-1234"),
           "arn:aws:kms:eu-central-1:111122223333:grant/" + kId,
           std::string(10000, 'a'),
       }) {
    auto arn = KeyArn::parse(text);
    ASSERT_FALSE(arn) << text;
    EXPECT_EQ(arn.error().kind(), ErrorKind::invalid);
    EXPECT_FALSE(arn.error().hint().empty());
    EXPECT_LT(arn.error().message().size(), 500U);
  }
  EXPECT_THAT(KeyArn::parse("alias/mine").error().message(), HasSubstr("alias"));
  EXPECT_THAT(KeyArn::parse("arn:aws:kms:eu-central-1:111122223333:alias/mine").error().message(),
              HasSubstr("alias"));
}

TEST(Endpoint, PutsTheRegionIn) {
  auto arn = *KeyArn::parse(kArn);
  EXPECT_EQ(*endpoint_host(arn, kDefaultEndpointPattern), "kms.eu-central-1.amazonaws.com");
  EXPECT_EQ(*endpoint_host(arn, "kms-fips.{region}.amazonaws.com"), "kms-fips.eu-central-1.amazonaws.com");
  EXPECT_EQ(*endpoint_host(arn, "localhost"), "localhost");
}

TEST(Endpoint, RefusesPatternsAndRegionsThatLeadElsewhere) {
  auto arn = *KeyArn::parse(kArn);
  for (const char* pattern :
       {"", "{region}.{region}", "kms.{account}.example", "kms.{region.example", "kms.region}.x",
        "kms.{region}.example/path", "user@{region}.example", "kms..{region}", "-{region}",
        "kms.{region}.example:443", "kms.{region}.exa mple"}) {
    EXPECT_FALSE(endpoint_host(arn, pattern)) << pattern;
  }
  for (const char* region : {"", "evil.example", "x/y", "a@b", "a#", "-a"}) {
    arn.region = region;
    EXPECT_FALSE(endpoint_host(arn, kDefaultEndpointPattern)) << region;
  }
}

TEST(ServiceUrl, ReadsWhatPeopleWrite) {
  struct Case {
    const char* url;
    bool tls;
    const char* host;
    unsigned port;
  };
  for (auto [url, tls, host, port] : {
           Case{"https://kms.eu-west-1.amazonaws.com", true, "kms.eu-west-1.amazonaws.com", 443},
           Case{"https://localhost:8443/", true, "localhost", 8443},
           Case{"http://127.0.0.1", false, "127.0.0.1", 80},
           Case{"http://[::1]:9000", false, "::1", 9000},
           Case{"https://[fe80::1]", true, "fe80::1", 443},
       }) {
    auto parsed = ServiceUrl::parse(url);
    ASSERT_TRUE(parsed) << url;
    EXPECT_EQ(parsed->tls, tls);
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, port);
  }
  for (const char* url : {"", "localhost:8443", "ftp://x", "http://", "http://x/path", "http://x:0",
                          "http://x:65536", "http://x:", "http://x:1x", "http://u@x", "http://[::1",
                          "http://[x]", "http://[::1]x", "http://a..b", "http://x?y"}) {
    EXPECT_FALSE(ServiceUrl::parse(url)) << url;
  }
}

}  // namespace
}  // namespace cloister::kms
