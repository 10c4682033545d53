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
           "arn:aws-moon:kms:us-iso-east-1:111122223333:key/" + kId,
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

}  // namespace
}  // namespace cloister::kms
