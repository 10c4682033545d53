#include "attestation/judge.h"

#include <gtest/gtest.h>

#include "sys/file.h"

namespace cloister::attestation {
namespace {

constexpr sys::UnixMillis kNow = 1700000000000;
constexpr const char* kInstance = "i-020b6af9246d90e92";

Document document() {
  Document made{
      .module_id = "i-020b6af9246d90e92-enc0183d09086c24190", .digest = "SHA384", .timestamp = kNow};
  for (unsigned i = 0; i < 16; ++i) made.pcrs[i] = Bytes(48, i < 3 ? static_cast<std::uint8_t>(i + 1) : 0);
  made.pcrs[kInstancePcr] = pcr_of(kInstance);
  return made;
}

Measurements image() {
  Measurements made;
  for (unsigned i = 0; i < 3; ++i) made.pcrs[i] = document().pcrs[i];
  return made;
}

std::string doubts(const Document& made, const Demands& demands, sys::UnixMillis at = kNow) {
  std::string out;
  for (const auto& doubt : judge(made, demands, at).doubts)
    out += doubt.why.substr(0, doubt.why.find(':')) + "; ";
  return out;
}

TEST(Judge, NoDoubtAboutWhatMatches) {
  EXPECT_EQ(doubts(document(), {.image = image()}), "");
  EXPECT_EQ(doubts(document(), {.any_image = true}), "");
  auto judged = judge(document(), {.image = image(), .instance = kInstance}, kNow);
  EXPECT_EQ(judged.image.size(), 3u);
  EXPECT_TRUE(judged.instance_measured);
  EXPECT_TRUE(judged.doubts.empty());
}

TEST(Judge, NothingComparedIsADoubt) {
  EXPECT_EQ(doubts(document(), {}), "not compared with any image; ");
  EXPECT_EQ(doubts(document(), {.instance = kInstance}), "not compared with any image; ");
  EXPECT_EQ(doubts(document(), {.image = Measurements{}}), "the measurements expect nothing; ");
  EXPECT_EQ(doubts(document(), {.image = Measurements{}, .any_image = true}),
            "the measurements expect nothing; ");
}

TEST(Judge, EveryRegisterThatIsExpected) {
  auto expected = image();
  expected.pcrs[2][0] ^= 1;
  expected.pcrs[8] = Bytes(48, 8);
  expected.pcrs[20] = Bytes(48, 8);
  EXPECT_EQ(doubts(document(), {.image = expected}), "PCR2; PCR8; PCR20; ");
}

TEST(Judge, ZeroMatchesNothing) {
  Measurements zero;
  zero.pcrs[0] = Bytes(48, 0);
  auto debug = document();
  for (unsigned i = 0; i < 3; ++i) debug.pcrs[i] = Bytes(48, 0);
  EXPECT_EQ(doubts(debug, {.any_image = true}), "debug mode; ");
  EXPECT_EQ(doubts(debug, {.any_image = true, .allow_debug = true}), "");
  EXPECT_EQ(doubts(debug, {.image = zero, .allow_debug = true}), "PCR0; ");
  debug.pcrs[1] = Bytes(48, 1);
  EXPECT_EQ(doubts(debug, {.any_image = true, .allow_debug = true}), "PCR0; ");
  debug.pcrs.erase(0);
  EXPECT_EQ(doubts(debug, {.any_image = true}), "PCR0; ");
}

TEST(Judge, TheParent) {
  EXPECT_EQ(doubts(document(), {.any_image = true, .instance = "i-020b6af9246d90e93"}),
            "PCR4 is not that of i-020b6af9246d90e93; ");
  EXPECT_EQ(doubts(document(), {.any_image = true, .role = "arn:aws:iam::123456789012:role/Webserver"}),
            "PCR3 is not that of arn; ");
  auto with_role = document();
  with_role.pcrs[kRolePcr] = pcr_of("arn:aws:iam::123456789012:role/Webserver");
  EXPECT_EQ(doubts(with_role, {.any_image = true, .role = "arn:aws:iam::123456789012:role/Webserver"}), "");
  auto other = document();
  other.pcrs[kInstancePcr][0] ^= 1;
  EXPECT_EQ(doubts(other, {.any_image = true}),
            "PCR4 is not that of i-020b6af9246d90e92, which module_id names; ");
  other.pcrs.erase(kInstancePcr);
  EXPECT_EQ(doubts(other, {.any_image = true}), "");
  EXPECT_EQ(doubts(other, {.any_image = true, .instance = kInstance}),
            "PCR4 is not that of i-020b6af9246d90e92; ");
}

TEST(Judge, NotFromLater) {
  EXPECT_EQ(doubts(document(), {.any_image = true}, kNow - kMaxClockSkew), "");
  EXPECT_EQ(doubts(document(), {.any_image = true}, kNow - kMaxClockSkew - 1),
            "made after the time it is judged at; ");
}

TEST(Parent, ModulesAreNamedAsRealOnesAre) {
  auto module = Module::parse("i-020b6af9246d90e92-enc0183d09086c24190");
  ASSERT_TRUE(module.has_value());
  EXPECT_EQ(module.value().instance, kInstance);
  EXPECT_EQ(module.value().enclave, "enc0183d09086c24190");
  EXPECT_TRUE(Module::parse("i-12345678-enc0183d09086c24190").has_value());
  for (auto other : {"", "i-0", "i-020b6af9246d90e92", "i-020b6af9246d90e92-enc", "i-020b6af9246d90e9-enc01",
                     "x-enc01", "i-020B6af9246d90e92-enc01", "i-020b6af9246d90e92-enc01\n",
                     "i-020b6af9246d90e92-enc0g", "i-020b6af9246d90e92-enc01-enc02", "simulated"})
    EXPECT_FALSE(Module::parse(other).has_value()) << other;
}

// The example of the user guide for PCR3, and the rule for PCR4 on every real document.
TEST(Parent, IsMeasuredAsDocumented) {
  EXPECT_EQ(
      to_hex(pcr_of("arn:aws:iam::123456789012:role/Webserver")),
      "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6");
  for (auto name : {"debug-2022-10.cbor", "debug-2023-09.cbor", "production-2022-10.cbor"}) {
    auto bytes =
        sys::read_file(std::string(CLOISTER_TEST_DATA) + "/attestation/" + name, kMaxDocument).value();
    auto real = SignedDocument::parse(bytes).value().document;
    auto module = Module::parse(real.module_id);
    ASSERT_TRUE(module.has_value()) << name;
    EXPECT_EQ(real.pcrs.at(kInstancePcr), pcr_of(module.value().instance)) << name;
  }
}

}  // namespace
}  // namespace cloister::attestation
