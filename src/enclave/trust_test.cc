#include "enclave/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/keys.h"

namespace cloister::enclave {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kId = "1234abcd-12ab-34cd-56ef-1234567890ab";

std::string some_authority() {
  auto key = crypto::PrivateKey::generate(crypto::KeyType::p256);
  auto certificate = crypto::issue_certificate(
      {.common_name = "authority", .authority = true, .not_after = 1}, key->public_key(), nullptr, *key);
  return std::string(certificate->pem());
}

json trust_file() {
  static const std::string kAuthority = some_authority();
  return {
      {"version", 1},
      {"mode", "production"},
      {"kms_endpoints",
       {{"aws", {{"standard", "kms.{region}.amazonaws.com"}, {"fips", "kms-fips.{region}.amazonaws.com"}}},
        {"aws-us-gov", {{"fips", "kms-fips.{region}.amazonaws.com"}}}}},
      {"kms_ca_bundle", kAuthority},
      {"required_walls", {"seccomp"}}};
}

Result<Trust> parsed(const json& file) {
  return Trust::parse(as_bytes(file.dump()));
}
std::string why_refused(const json& file) {
  auto trust = parsed(file);
  if (trust) return "it was taken";
  EXPECT_EQ(trust.error().kind(), ErrorKind::invalid);
  return trust.error().message();
}

std::string host_of(const Trust& trust, std::string_view partition, std::string_view region,
                    kms::EndpointVariant variant = {}) {
  auto host =
      trust.kms_host(fmt::format("arn:{}:kms:{}:111122223333:key/{}", partition, region, kId), variant);
  return host ? *host : fmt::format("{}: {}", to_string(host.error().kind()), host.error().message());
}

TEST(Trust, DerivesTheHostFromTheKeysArn) {
  auto trust = parsed(trust_file());
  ASSERT_TRUE(trust) << trust.error().message();
  constexpr kms::EndpointVariant kFips{.fips = true};
  constexpr kms::EndpointVariant kDualstack{.dualstack = true};
  EXPECT_EQ(host_of(*trust, "aws", "eu-west-1"), "kms.eu-west-1.amazonaws.com");
  EXPECT_EQ(host_of(*trust, "aws", "us-east-1", kFips), "kms-fips.us-east-1.amazonaws.com");
  EXPECT_EQ(host_of(*trust, "aws-us-gov", "us-gov-east-1", kFips), "kms-fips.us-gov-east-1.amazonaws.com");
  EXPECT_EQ(host_of(*trust, "aws", "us-east-1", kDualstack),
            "denied: this enclave trusts no dualstack KMS endpoint for keys of partition 'aws'");
  EXPECT_EQ(host_of(*trust, "aws-us-gov", "us-gov-east-1"),
            "denied: this enclave trusts no standard KMS endpoint for keys of partition 'aws-us-gov'");
  EXPECT_EQ(host_of(*trust, "aws-cn", "cn-north-1"),
            "denied: this enclave trusts no KMS for keys of partition 'aws-cn'");
}

TEST(Trust, AnArnThatWouldLeadElsewhereIsNone) {
  auto trust = parsed(trust_file());
  ASSERT_TRUE(trust);
  for (const char* region : {"evil.example", "x/y", "a@b", "", "us-east-1.evil"})
    EXPECT_THAT(host_of(*trust, "aws", region), HasSubstr("not a full key ARN")) << region;
  auto alias = trust->kms_host("arn:aws:kms:us-east-1:111122223333:alias/mine", {});
  ASSERT_FALSE(alias);
  EXPECT_THAT(alias.error().message(), HasSubstr("it names an alias"));
}

TEST(Trust, RefusesEndpointsThatAreNone) {
  auto refused = [](const json& endpoints) {
    auto file = trust_file();
    file["kms_endpoints"] = endpoints;
    return why_refused(file);
  };
  EXPECT_THAT(refused({{"aws", "kms.{region}.amazonaws.com"}}),
              HasSubstr("kms_endpoints.aws: not an object"));
  EXPECT_THAT(refused({{"aws", json::object()}}), HasSubstr("not an object with a variant"));
  EXPECT_THAT(refused({{"aws", {{"fast", "kms.{region}.amazonaws.com"}}}}), HasSubstr("'fast' is none of"));
  EXPECT_THAT(refused({{"aws", {{"fips", 7}}}}), HasSubstr("'fips' is not text"));
  EXPECT_THAT(refused({{"moon", {{"fips", "kms.{region}.moon"}}}}), HasSubstr("unknown partition"));
  for (const char* pattern :
       {"", "kms.{account}.example", "{region}.{region}", "https://kms.example", "kms:443"})
    EXPECT_THAT(refused({{"aws", {{"standard", pattern}}}}), HasSubstr("does not make a host name"))
        << pattern;
}

TEST(Trust, RefusesWhatItsFormatRefuses) {
  for (const char* name : {"version", "mode", "kms_endpoints", "kms_ca_bundle", "required_walls"}) {
    auto file = trust_file();
    file.erase(name);
    EXPECT_THAT(why_refused(file), HasSubstr(fmt::format("'{}' is missing", name)));
  }
  auto refused = [](const char* name, const json& value) {
    auto file = trust_file();
    file[name] = value;
    return why_refused(file);
  };
  EXPECT_THAT(refused("proxy", "evil.example"), HasSubstr("unknown member 'proxy'"));
  EXPECT_THAT(refused("version", 2), HasSubstr("version is not 1"));
  EXPECT_THAT(refused("version", 1.0), HasSubstr("'version' is missing or of the wrong type"));
  EXPECT_THAT(refused("mode", "debug"), HasSubstr("mode 'debug'"));
  EXPECT_THAT(refused("kms_ca_bundle", ""), HasSubstr("kms_ca_bundle"));
  EXPECT_THAT(refused("required_walls", {7}), HasSubstr("not text"));
  auto text = trust_file().dump();
  text.insert(1, R"("mode":"simulated",)");
  EXPECT_FALSE(Trust::parse(as_bytes(text)));
}

}  // namespace
}  // namespace cloister::enclave
