#include "host/key_policy.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cloister::host {
namespace {

constexpr const char* kAccount = "111122223333";
constexpr const char* kPolicy =
    R"({"Version":"2012-10-17","Id":"mine","Statement":{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
        "Action":"kms:*","Resource":"*"}})";

std::string policy_with(const KeyAccess& access) {
  return *write_access(kPolicy, access, kAccount);
}

TEST(KeyPolicy, WithoutImagesNobodyDecrypts) {
  auto policy = nlohmann::json::parse(policy_with({}));
  ASSERT_EQ(policy["Statement"].size(), 2u);
  auto deny = policy["Statement"][1];
  EXPECT_EQ(deny["Effect"], "Deny");
  EXPECT_EQ(deny["Principal"], "*");
  EXPECT_FALSE(deny.contains("Condition"));
}

TEST(KeyPolicy, WhatIsWrittenIsReadBack) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a'),
                       .principals = {"arn:aws:iam::111122223333:role/host"},
                       .releases = {"1.0", "1.1"},
                       .names = {"ocr"}});
  allow_image(access, {.pcr0 = std::string(96, 'b')});
  auto read = read_access(policy_with(access));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->only_attested);
  ASSERT_EQ(read->images.size(), 2u);
  EXPECT_EQ(read->images[0].releases, (std::vector<std::string>{"1.0", "1.1"}));
  EXPECT_EQ(read->images[0].names, (std::vector<std::string>{"ocr"}));
  EXPECT_EQ(read->images[0].principals, (std::vector<std::string>{"arn:aws:iam::111122223333:role/host"}));
  EXPECT_TRUE(read->images[1].releases.empty());
  EXPECT_TRUE(read->images[1].principals.empty());
}

TEST(KeyPolicy, EveryImageIsExemptFromTheDenyAndEveryReleaseListIsADenyOfItsOwn) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a'), .releases = {"1.0"}});
  auto policy = nlohmann::json::parse(policy_with(access));
  auto deny = policy["Statement"][1]["Condition"]["StringNotEqualsIgnoreCase"]
                    ["kms:RecipientAttestation:ImageSha384"];
  EXPECT_EQ(deny, nlohmann::json::array({std::string(96, 'a')}));
  EXPECT_EQ(policy["Statement"][2]["Effect"], "Deny");
  EXPECT_EQ(policy["Statement"][2]["Condition"]["StringNotEquals"]["kms:EncryptionContext:cloister:release"],
            nlohmann::json::array({"1.0"}));
}

TEST(KeyPolicy, LeavesTheRestAloneAndReplacesItsOwn) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a')});
  auto once = policy_with(access);
  auto twice = *write_access(once, access, kAccount);
  EXPECT_EQ(once, twice);
  auto policy = nlohmann::json::parse(twice);
  EXPECT_EQ(policy["Id"], "mine");
  EXPECT_EQ(policy["Statement"][0]["Sid"], "Root");
  ASSERT_TRUE(revoke_image(access, std::string(96, 'a')));
  EXPECT_EQ(nlohmann::json::parse(*write_access(twice, access, kAccount))["Statement"].size(), 2u);
}

TEST(KeyPolicy, RevokingWhatIsNotThereIsAnError) {
  KeyAccess access;
  EXPECT_EQ(revoke_image(access, std::string(96, 'c')).error().kind(), ErrorKind::not_found);
}

TEST(KeyPolicy, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(read_access("[]"));
  EXPECT_FALSE(read_access(R"({"Statement":7})"));
  EXPECT_FALSE(read_access(R"({"Statement":[7]})"));
  EXPECT_FALSE(read_access(R"({"Statement":[{"Sid":"CloisterAllowX","Effect":"Allow"}]})"));
}

}  // namespace
}  // namespace cloister::host
