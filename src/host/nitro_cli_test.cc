#include "host/nitro_cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/nitro_backend.h"

namespace cloister::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As AWS's documentation shows them (docs.aws.amazon.com/enclaves/latest/user/cmd-nitro-run-enclave.html and
// cmd-nitro-describe-enclaves.html), with values of our own.
constexpr const char* kRun = R"({
  "EnclaveName": "cloister-default",
  "EnclaveID": "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE",
  "ProcessID": 7077,
  "EnclaveCID": 10,
  "NumberOfCPUs": 2,
  "CPUIDs": [
    1,
    3
  ],
  "MemoryMiB": 1600
})";

std::string described(const std::string& state = "RUNNING", const std::string& flags = "NONE",
                      const std::string& more = "") {
  return R"([{"EnclaveName": "cloister-default", "EnclaveID": "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE", "ProcessID": 7077,
              "EnclaveCID": 10, "NumberOfCPUs": 2, "CPUIDs": [1, 3], "MemoryMiB": 1600, "State": ")" +
         state + R"(", "Flags": ")" + flags + "\"" + more + "}]";
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

TEST(NitroCli, ReadsWhatRunEnclavePrints) {
  auto enclave = parse_run_enclave(kRun).value();
  EXPECT_EQ(enclave.id, "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE");
  EXPECT_EQ(enclave.name, "cloister-default");
  EXPECT_EQ(enclave.pid, 7077);
  EXPECT_EQ(enclave.cid, 10U);
  EXPECT_EQ(enclave.memory_mib, 1600U);
  // Before version 1.1 there was no name.
  EXPECT_TRUE(parse_run_enclave(replaced(kRun, "\"EnclaveName\": \"cloister-default\",", "")));
}

TEST(NitroCli, RefusesWhatRunEnclaveNeverPrints) {
  for (auto [what, with] : {std::pair{"7077", "1"},
                            {"7077", "0"},
                            {"7077", "-7"},
                            {"7077", "\"7077\""},
                            {"7077", "99999999999"},
                            {"7077", "7.5"},
                            {"\"EnclaveCID\": 10", "\"EnclaveCID\": 3"},
                            {"\"EnclaveCID\": 10", "\"EnclaveCID\": 4294967295"},
                            {"i-05f6", "--all"},
                            {"i-05f6", "a b"},
                            {"i-05f6", "a;b"},
                            {"\"EnclaveID\"", "\"Other\""},
                            {"\"MemoryMiB\"", "\"Memory\""},
                            {"{", "["},
                            {"}", ""},
                            {"1600", "1e99"}}) {
    auto parsed = parse_run_enclave(replaced(kRun, what, with));
    ASSERT_FALSE(parsed) << what << " → " << with;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt);
  }
  EXPECT_FALSE(parse_run_enclave(""));
  EXPECT_FALSE(parse_run_enclave("[]"));
  EXPECT_FALSE(parse_run_enclave(replaced(kRun, "i-05f6", std::string(kMaxNitroId, 'i'))));
}

TEST(NitroCli, ReadsWhatDescribeEnclavesPrints) {
  EXPECT_TRUE(parse_describe_enclaves("[]").value().empty());
  auto pcr = std::string(96, 'a');
  auto more = R"(, "Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": ")" + pcr + R"(", "PCR1": ")" +
              pcr + R"(", "PCR2": ")" + pcr + "\"}";
  auto all = parse_describe_enclaves(described("RUNNING", "DEBUG_MODE", more)).value();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].running() && all[0].debug);
  ASSERT_TRUE(all[0].measurements);
  EXPECT_EQ(to_hex(all[0].measurements->pcrs.at(0)), pcr);
  EXPECT_FALSE(parse_describe_enclaves(described("TERMINATING")).value()[0].running());
  // Before version 1.2 there were none; while they are computed they are empty.
  EXPECT_FALSE(parse_describe_enclaves(described())->at(0).measurements);
  EXPECT_FALSE(
      parse_describe_enclaves(described("RUNNING", "NONE", R"(, "Measurements": {})"))->at(0).measurements);
}

TEST(NitroCli, RefusesListsThatAreNone) {
  for (const auto& text :
       {std::string("{}"), std::string("[1]"), std::string("[{}]"), std::string("nothing"),
        std::string(100000, '['), described("RUNNING", "NONE", R"(, "Measurements": {"PCR0": "12"})"),
        replaced(described(), "\"State\"", "\"Status\"")})
    EXPECT_FALSE(parse_describe_enclaves(text)) << text.substr(0, 80);
  auto many = std::string("[");
  for (std::size_t i = 0; i <= kMaxNitroEnclaves; ++i)
    many += (i == 0 ? "" : ",") + described().substr(1, described().size() - 2);
  EXPECT_FALSE(parse_describe_enclaves(many + "]"));
}

// --- What is typed --------------------------------------------------------------------------------------

TEST(NitroCli, SaysWhatItWantsAsDocumented) {
  NitroRun wanted{.image = "/x/e.eif", .name = "cloister-a", .memory_mib = 3072, .cpus = 4};
  EXPECT_THAT(run_enclave_words(wanted),
              ElementsAre("nitro-cli", "run-enclave", "--eif-path", "/x/e.eif", "--memory", "3072",
                          "--cpu-count", "4", "--enclave-name", "cloister-a"));
  wanted.cid = 16;
  wanted.debug = true;
  auto words = run_enclave_words(wanted);
  EXPECT_THAT(std::vector(words.end() - 3, words.end()), ElementsAre("--enclave-cid", "16", "--debug-mode"));
}

TEST(NitroCli, WaitsLongerThanNitroCliDoes) {
  constexpr std::uint64_t kGib = 1ULL << 30;
  EXPECT_GT(run_timeout({.memory_mib = 512, .image_bytes = 1}), sys::seconds(180));
  EXPECT_GT(run_timeout({.memory_mib = 200 * 1024, .image_bytes = 13 * kGib}), sys::seconds(5 * 90));
}

struct Fake {
  std::vector<std::vector<std::string>> asked;
  std::vector<Result<ToolOutput>> answers;
  NitroCli cli() {
    return NitroCli([this](const auto& words, auto) {
      asked.push_back(words);
      auto answer = answers.at(asked.size() - 1);
      return answer;
    });
  }
};

TEST(NitroCli, WhatIsGoneIsTerminated) {
  ToolOutput gone{.code = 11, .out = "", .err = "[ E11 ] Socket error. This is used …\n"};
  Fake ended{.asked = {}, .answers = {gone, ToolOutput{.code = 0, .out = "[]", .err = ""}}};
  EXPECT_TRUE(ended.cli().terminate_enclave("i-1-enc2"));
  EXPECT_THAT(ended.asked[0], ElementsAre("nitro-cli", "terminate-enclave", "--enclave-id", "i-1-enc2"));

  auto still = replaced(described(), "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE", "i-1-enc2");
  Fake stays{.asked = {}, .answers = {gone, ToolOutput{.code = 0, .out = still, .err = ""}}};
  auto failed = stays.cli().terminate_enclave("i-1-enc2");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("E11"));
}

// --- What is asked for ----------------------------------------------------------------------------------

constexpr std::uint64_t kMib = 1ULL << 20;
const ImageFacts kImage{
    .path = "/e.eif", .bytes = 56 * kMib - 100, .default_memory = 2048 * kMib, .default_cpus = 2};

TEST(NitroPlan, TheImagesWishes) {
  auto plan = plan_nitro_run({.name = "a"}, kImage, 2).value();
  EXPECT_EQ(plan.memory_mib, 2048U);
  EXPECT_EQ(plan.cpus, 2U);
  EXPECT_EQ(plan.name, "cloister-a");
  EXPECT_FALSE(plan.debug);
}

TEST(NitroPlan, RaisedToWhatNitroCliAndTheProcessorsAllow) {
  auto odd = kImage;
  odd.default_cpus = 3;
  odd.default_memory = 100 * kMib;
  auto plan = plan_nitro_run({}, odd, 2).value();
  EXPECT_EQ(plan.cpus, 4U);
  EXPECT_EQ(plan.memory_mib, 4U * 56);
  EXPECT_EQ(plan_nitro_run({}, odd, 1).value().cpus, 3U);
  odd.default_cpus = odd.default_memory = ~0ULL;  // the image's word is not to be trusted
  EXPECT_LE(plan_nitro_run({}, odd, 2).value().cpus, 4096U);
}

TEST(NitroPlan, YoursAreTakenAsTheyAreOrRefused) {
  EXPECT_EQ(plan_nitro_run({.memory_mib = 64, .cpus = 6}, kImage, 2).value().memory_mib, 64U);
  auto odd = plan_nitro_run({.cpus = 3}, kImage, 2);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().hint(), "--cpus 4");
  EXPECT_TRUE(plan_nitro_run({.cpus = 3}, kImage, 1));
  for (auto cid : {1ULL, 2ULL, 3ULL, 0xffffffffULL, 1ULL << 40})
    EXPECT_FALSE(plan_nitro_run({.cid = cid}, kImage, 2)) << cid;
  EXPECT_EQ(plan_nitro_run({.cid = 16}, kImage, 2).value().cid, 16U);
  EXPECT_FALSE(plan_nitro_run({.memory_mib = ~0ULL}, kImage, 2));
  EXPECT_FALSE(plan_nitro_run({.cpus = ~0ULL - 1}, kImage, 2));
}

}  // namespace
}  // namespace cloister::host
