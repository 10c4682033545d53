#include "kms/endpoint.h"

#include <gtest/gtest.h>

#include <map>

#include "kms/partition.h"
#include "sys/file.h"

namespace cloister::kms {
namespace {

const std::string kArn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

// The names that the AWS SDKs' endpoint rules for KMS give ("endpoint-rule-set-1").
TEST(AwsEndpoint, HasTheNamesOfTheSdks) {
  struct Case {
    const char* region;
    const char* partition;
    std::array<const char*, 4> hosts;  // as kEndpointVariants
  };
  for (const auto& test : {
           Case{"eu-central-1",
                "aws",
                {"kms.eu-central-1.amazonaws.com", "kms-fips.eu-central-1.amazonaws.com",
                 "kms.eu-central-1.api.aws", "kms-fips.eu-central-1.api.aws"}},
           Case{"mx-central-1",
                "aws",
                {"kms.mx-central-1.amazonaws.com", "kms-fips.mx-central-1.amazonaws.com",
                 "kms.mx-central-1.api.aws", "kms-fips.mx-central-1.api.aws"}},
           Case{"cn-north-1",
                "aws-cn",
                {"kms.cn-north-1.amazonaws.com.cn", "kms-fips.cn-north-1.amazonaws.com.cn",
                 "kms.cn-north-1.api.amazonwebservices.com.cn",
                 "kms-fips.cn-north-1.api.amazonwebservices.com.cn"}},
           Case{"us-gov-west-1",
                "aws-us-gov",
                {"kms.us-gov-west-1.amazonaws.com", "kms-fips.us-gov-west-1.amazonaws.com",
                 "kms.us-gov-west-1.api.aws", "kms-fips.us-gov-west-1.api.aws"}},
           Case{"eusc-de-east-1",
                "aws-eusc",
                {"kms.eusc-de-east-1.amazonaws.eu", "kms-fips.eusc-de-east-1.amazonaws.eu",
                 "kms.eusc-de-east-1.api.amazonwebservices.eu",
                 "kms-fips.eusc-de-east-1.api.amazonwebservices.eu"}},
           Case{"us-iso-east-1",
                "aws-iso",
                {"kms.us-iso-east-1.c2s.ic.gov", "kms-fips.us-iso-east-1.c2s.ic.gov",
                 "kms.us-iso-east-1.api.aws.ic.gov", "kms-fips.us-iso-east-1.api.aws.ic.gov"}},
           Case{"us-isob-east-1",
                "aws-iso-b",
                {"kms.us-isob-east-1.sc2s.sgov.gov", "kms-fips.us-isob-east-1.sc2s.sgov.gov",
                 "kms.us-isob-east-1.api.aws.scloud", "kms-fips.us-isob-east-1.api.aws.scloud"}},
       }) {
    EXPECT_EQ(partition_of_region(test.region).id, test.partition);
    auto arn = KeyArn::parse(fmt::format(
        "arn:{}:kms:{}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", test.partition, test.region));
    ASSERT_TRUE(arn) << test.region;
    for (std::size_t i = 0; i < kEndpointVariants.size(); ++i) {
      EXPECT_EQ(aws_endpoint_host(test.region, kEndpointVariants[i]), test.hosts[i]);
      auto pattern = aws_endpoint_pattern(test.partition, kEndpointVariants[i]);
      ASSERT_TRUE(pattern);
      EXPECT_EQ(*endpoint_host(*arn, *pattern), test.hosts[i]);
    }
  }
  EXPECT_FALSE(aws_endpoint_pattern("aws-moon", {}));
}

TEST(EndpointVariant, IsFoundAsTheSdksFindIt) {
  using Variables = std::map<std::string, std::string, std::less<>>;
  auto found = [](Variables variables) {
    auto variant = find_endpoint_variant([&](std::string_view name) -> std::optional<std::string> {
      auto at = variables.find(name);
      return at == variables.end() ? std::nullopt : std::optional(at->second);
    });
    return variant ? std::string(to_string(*variant)) : variant.error().message();
  };
  EXPECT_EQ(found({}), "standard");
  EXPECT_EQ(found({{"AWS_USE_FIPS_ENDPOINT", "true"}}), "fips");
  EXPECT_EQ(found({{"AWS_USE_DUALSTACK_ENDPOINT", "True"}}), "dualstack");
  EXPECT_EQ(found({{"AWS_USE_FIPS_ENDPOINT", "TRUE"}, {"AWS_USE_DUALSTACK_ENDPOINT", "true"}}),
            "fips-dualstack");
  EXPECT_EQ(found({{"AWS_USE_FIPS_ENDPOINT", "false"}}), "standard");
  EXPECT_EQ(found({{"AWS_USE_FIPS_ENDPOINT", ""}}), "standard");
  EXPECT_EQ(found({{"AWS_USE_FIPS_ENDPOINT", "yes"}}),
            "AWS_USE_FIPS_ENDPOINT is 'yes', which is neither true nor false");
  std::string config = testing::TempDir() + "/endpoint-variant-config";
  ASSERT_TRUE(sys::write_file_atomic(config, as_bytes("[default]\nuse_fips_endpoint = true\n"
                                                      "[profile other]\nuse_dualstack_endpoint = true\n")));
  EXPECT_EQ(found({{"AWS_CONFIG_FILE", config}}), "fips");
  EXPECT_EQ(found({{"AWS_CONFIG_FILE", config}, {"AWS_PROFILE", "other"}}), "dualstack");
  EXPECT_EQ(found({{"AWS_CONFIG_FILE", config}, {"AWS_USE_FIPS_ENDPOINT", "false"}}), "standard");
}

TEST(Endpoint, PutsTheRegionIn) {
  auto arn = *KeyArn::parse(kArn);
  EXPECT_EQ(*endpoint_host(arn, "kms.{region}.amazonaws.com"), "kms.eu-central-1.amazonaws.com");
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
    EXPECT_FALSE(endpoint_host(arn, "kms.{region}.amazonaws.com")) << region;
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
