#include "enclave/order.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cloister::enclave {
namespace {

nlohmann::json posted() {
  return {{"package", "encrypted/a.cloister"},
          {"entry", "main.py"},
          {"arguments", {"-d", "/dataset/", "two words"}},
          {"signers", {std::string(64, 'a'), std::string(64, 'b')}},
          {"credentials", {{"access_key_id", "AKIA"}, {"secret_access_key", "s3cret"}}}};
}

TEST(PostedJob, KeepsArgumentsApart) {
  auto job = parse_posted_job(posted().dump());
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->order->argument_count, 3u);
  EXPECT_EQ(std::string_view(job->order->arguments, job->order->argument_bytes),
            std::string_view("-d\0/dataset/\0two words\0", 23));
  EXPECT_EQ(job->kms.credentials.access_key_id, "AKIA");
  EXPECT_EQ(as_text(job->kms.credentials.secret_access_key.view()), "s3cret");
  EXPECT_FALSE(job->share_output);
  EXPECT_TRUE(job->order->signers.contains(crypto::Sha256{
      0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
      0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}));
  EXPECT_FALSE(job->order->signers.contains(crypto::Sha256{}));
}

TEST(PostedJob, TakesWhatTheCallerAgreesTo) {
  auto job = posted();
  job["allow_writes"] = {"model", "cache"};
  job["diagnostics"] = true;
  job["grace"] = 7;
  auto parsed = parse_posted_job(job.dump());
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->order->writes.view(), "model/cache/");
  EXPECT_EQ(parsed->order->diagnostics, 1u);
  EXPECT_EQ(parsed->grace, sys::seconds(7));
  EXPECT_EQ(to_string(parsed->kms.endpoint), "standard");
  EXPECT_EQ(parse_posted_job(posted().dump())->grace, kDefaultGrace);
}

TEST(PostedJob, ChoosesAnEndpointButNamesNone) {
  auto job = posted();
  job["use_fips_endpoint"] = true;
  EXPECT_EQ(to_string(parse_posted_job(job.dump())->kms.endpoint), "fips");
  job["use_dualstack_endpoint"] = true;
  EXPECT_EQ(to_string(parse_posted_job(job.dump())->kms.endpoint), "fips-dualstack");
  job["use_dualstack_endpoint"] = "kms.evil.example";
  EXPECT_FALSE(parse_posted_job(job.dump()));
}

TEST(PostedJob, AMemberTwiceIsRefusedNotTheLastOneTaken) {
  auto text = posted().dump();
  text.insert(1, R"("entry":"other.py",)");
  EXPECT_FALSE(parse_posted_job(text));
}

TEST(PostedJob, IdsAreFresh) {
  auto one = parse_posted_job(posted().dump());
  auto two = parse_posted_job(posted().dump());
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->order->id, two->order->id);
}

TEST(PostedJob, RefusesWhatIsNotDocumented) {
  auto refused = [](const nlohmann::json& job) {
    auto parsed = parse_posted_job(job.dump());
    return !parsed && parsed.error().kind() == ErrorKind::invalid;
  };
  for (const char* name : {"package", "entry", "signers", "credentials"}) {
    auto job = posted();
    job.erase(name);
    EXPECT_TRUE(refused(job)) << name;
    job[name] = 7;
    EXPECT_TRUE(refused(job)) << name;
  }
  auto job = posted();
  job["kms_endpoint"] = "https://evil.example";
  EXPECT_TRUE(refused(job));
  job = posted();
  job["arguments"] = std::string("-d");
  EXPECT_TRUE(refused(job));
  job = posted();
  job["arguments"] = {std::string("a\0b", 3)};
  EXPECT_TRUE(refused(job));
  job = posted();
  job["arguments"] = {std::string(kMaxArgumentBytes, 'x')};
  EXPECT_TRUE(refused(job));
  job = posted();
  job["arguments"] = nlohmann::json::array();
  for (std::size_t i = 0; i <= kMaxArguments; ++i) job["arguments"].push_back("");
  EXPECT_TRUE(refused(job));
  job = posted();
  job["package"] = std::string(600, 'p');
  EXPECT_TRUE(refused(job));
  job = posted();
  for (auto signers :
       {nlohmann::json::array(), nlohmann::json::array({"abcd"}), nlohmann::json::array({1})}) {
    job["signers"] = signers;
    EXPECT_TRUE(refused(job)) << signers;
  }
  job = posted();
  for (auto grace : {nlohmann::json(kMinGrace.count() - 1), nlohmann::json(kMaxGrace.count() + 1),
                     nlohmann::json(-1), nlohmann::json(5.5), nlohmann::json("60")}) {
    job["grace"] = grace;
    EXPECT_TRUE(refused(job)) << grace;
  }
  job = posted();
  for (auto names : {nlohmann::json("model"), nlohmann::json::array({1}), nlohmann::json::array({".."}),
                     nlohmann::json::array({"a/b"}), nlohmann::json::array({""})}) {
    job["allow_writes"] = names;
    EXPECT_TRUE(refused(job)) << names;
  }
  job["allow_writes"] = std::vector<std::string>(100, std::string(100, 'm'));
  EXPECT_TRUE(refused(job));
  job = posted();
  job["diagnostics"] = 1;
  EXPECT_TRUE(refused(job));
  job = posted();
  job["signers"] = std::vector<std::string>(kMaxSigners + 1, std::string(64, 'a'));
  EXPECT_TRUE(refused(job));
  EXPECT_FALSE(parse_posted_job("[]"));
  EXPECT_FALSE(parse_posted_job(""));
  EXPECT_FALSE(parse_posted_job(std::string(100000, '[')));
}

}  // namespace
}  // namespace cloister::enclave
