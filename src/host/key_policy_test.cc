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
  auto read = read_access(policy_with(access), kAccount);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->only_attested);
  ASSERT_EQ(read->images.size(), 2u);
  EXPECT_EQ(read->images[0].releases, (std::vector<std::string>{"1.0", "1.1"}));
  EXPECT_EQ(read->images[0].names, (std::vector<std::string>{"ocr"}));
  EXPECT_EQ(read->images[0].principals, (std::vector<std::string>{"arn:aws:iam::111122223333:role/host"}));
  EXPECT_TRUE(read->images[1].releases.empty());
  EXPECT_TRUE(read->images[1].principals.empty());
}

TEST(KeyPolicy, AnotherAccountStaysWhenTheNextImageIsAllowed) {
  constexpr const char* kHosts = "arn:aws:iam::999988887777:root";
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a'), .principals = {kHosts}});
  auto read = read_access(policy_with(access), kAccount);
  ASSERT_TRUE(read) << read.error().message();
  allow_image(*read, {.pcr0 = std::string(96, 'b'), .principals = {kHosts}});
  auto policy = nlohmann::json::parse(policy_with(*read));
  EXPECT_EQ(policy["Statement"][2]["Principal"]["AWS"], nlohmann::json::array({kHosts}));
  EXPECT_EQ(policy["Statement"][3]["Principal"]["AWS"], nlohmann::json::array({kHosts}));
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

TEST(KeyPolicy, ReEncryptionIsDeniedToo) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a')});
  auto deny = nlohmann::json::parse(policy_with(access))["Statement"][1];
  EXPECT_EQ(deny["Action"], nlohmann::json::array({"kms:Decrypt", "kms:ReEncryptFrom"}));
  // An older one that denies less is not taken for it.
  auto older = nlohmann::json::parse(policy_with(access));
  older["Statement"][1]["Action"] = "kms:Decrypt";
  EXPECT_FALSE(read_access(older.dump(), kAccount)->only_attested);
}

TEST(KeyPolicy, AnEndIsADenyAndACondition) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a'), .until = "2027-01-31T00:00:00Z"});
  auto policy = nlohmann::json::parse(policy_with(access));
  EXPECT_EQ(policy["Statement"][2]["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"],
            "2027-01-31T00:00:00Z");
  EXPECT_EQ(policy["Statement"][3]["Condition"]["DateLessThan"]["aws:CurrentTime"], "2027-01-31T00:00:00Z");
  EXPECT_EQ(*read_access(policy.dump(), kAccount),
            (KeyAccess{.only_attested = true, .images = access.images}));
}

TEST(KeyPolicy, WhatIsAllowedAgainJoins) {
  const std::string image(96, 'a');
  KeyAccess access;
  allow_image(access,
              {.pcr0 = image, .principals = {"p"}, .releases = {"1"}, .until = "2027-01-31T00:00:00Z"});
  allow_image(access, {.pcr0 = image, .releases = {"2", "1"}});
  ASSERT_EQ(access.images.size(), 1u);
  EXPECT_EQ(access.images[0].releases, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(access.images[0].principals, (std::vector<std::string>{"p"}));
  EXPECT_EQ(access.images[0].until, "2027-01-31T00:00:00Z");
  allow_image(access, {.pcr0 = image});  // speaks of nothing, and lifts nothing
  EXPECT_EQ(access.images[0].releases.size(), 2u);
  replace_image(access, {.pcr0 = image});
  EXPECT_EQ(access.images[0], (ImageGrant{.pcr0 = image}));
  allow_image(access, {.pcr0 = image, .releases = {"3"}});  // a first name restricts
  EXPECT_EQ(access.images[0].releases, (std::vector<std::string>{"3"}));
}

TEST(KeyPolicy, RevokesImagesAndReleases) {
  const std::string one(96, 'a');
  const std::string other(96, 'b');
  KeyAccess access;
  EXPECT_EQ(revoke_image(access, one).error().kind(), ErrorKind::not_found);
  allow_image(access, {.pcr0 = one, .releases = {"1", "2"}});
  allow_image(access, {.pcr0 = other, .releases = {"2", "3"}});
  EXPECT_EQ(revoke_release(access, "", "4").error().kind(), ErrorKind::not_found);
  ASSERT_TRUE(revoke_release(access, one, "2"));
  EXPECT_EQ(access.images[0].releases, (std::vector<std::string>{"1"}));
  EXPECT_EQ(access.images[1].releases.size(), 2u);
  ASSERT_TRUE(revoke_release(access, "", "2"));
  ASSERT_TRUE(revoke_release(access, "", "1"));  // its last: an empty list would mean every release
  ASSERT_EQ(access.images.size(), 1u);
  EXPECT_EQ(access.images[0].pcr0, other);
  replace_image(access, {.pcr0 = other});
  EXPECT_EQ(revoke_release(access, "", "3").error().kind(), ErrorKind::invalid);
  ASSERT_TRUE(revoke_image(access, ""));
  EXPECT_TRUE(access.images.empty());
}

TEST(KeyPolicy, AReleaseTakenFromOneImageLeavesAnotherThatMayOpenEvery) {
  const std::string one(96, 'a');
  const std::string other(96, 'b');
  KeyAccess access;
  allow_image(access, {.pcr0 = one, .releases = {"1", "2"}});
  allow_image(access, {.pcr0 = other});
  ASSERT_TRUE(revoke_release(access, one, "1"));
  ASSERT_EQ(access.images.size(), 2u);
  ASSERT_TRUE(revoke_release(access, one, "2"));
  ASSERT_EQ(access.images.size(), 1u);
  EXPECT_EQ(access.images[0].pcr0, other);
}

TEST(KeyPolicy, TimesAreAsPoliciesHaveThem) {
  EXPECT_EQ(*policy_time("2027-01-31"), "2027-01-31T00:00:00Z");
  EXPECT_EQ(*policy_time("2027-01-31T12:30:00Z"), "2027-01-31T12:30:00Z");
  for (const char* text :
       {"", "tomorrow", "2027", "2027-13-01", "2027-01-31T12:30", "2027-01-31 12:30:00Z", "2027-01-31x"})
    EXPECT_FALSE(policy_time(text)) << text;
}

TEST(KeyPolicy, OtherPartitionsHaveOtherRoots) {
  KeyAccess access;
  allow_image(access, {.pcr0 = std::string(96, 'a')});
  auto policy = nlohmann::json::parse(*write_access(kPolicy, access, kAccount, "aws-cn"));
  EXPECT_EQ(policy["Statement"][2]["Principal"]["AWS"], "arn:aws-cn:iam::111122223333:root");
}

TEST(KeyPolicy, IamPoliciesNameTheOneKey) {
  constexpr const char* kKey = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  auto policies = iam_policies(kKey);
  auto owner = nlohmann::json::parse(policies.owner)["Statement"][0];
  auto host = nlohmann::json::parse(policies.host)["Statement"][0];
  EXPECT_EQ(owner["Action"],
            nlohmann::json::array({"kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}));
  EXPECT_EQ(host["Action"], "kms:Decrypt");
  EXPECT_EQ(owner["Resource"], kKey);
  EXPECT_EQ(host["Resource"], kKey);
}

TEST(KeyPolicy, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(read_access("[]", kAccount));
  EXPECT_FALSE(read_access(R"({"Statement":7})", kAccount));
  EXPECT_FALSE(read_access(R"({"Statement":[7]})", kAccount));
  EXPECT_FALSE(read_access(R"({"Statement":[{"Sid":"CloisterAllowX","Effect":"Allow"}]})", kAccount));
}

}  // namespace
}  // namespace cloister::host
