#include "attestation/measurements.h"

#include <gtest/gtest.h>

namespace cloister::attestation {
namespace {

std::string hex48(char digit) {
  return std::string(96, digit);
}

std::string file(const std::string& entries) {
  return R"({"Measurements":{"HashAlgorithm":"Sha384 { ... }",)" + entries + "}}";
}

Measurements sample() {
  Measurements measurements;
  measurements.pcrs[0] = Bytes(48, 0x11);
  measurements.pcrs[1] = Bytes(48, 0x22);
  measurements.pcrs[2] = Bytes(48, 0x33);
  return measurements;
}

Document matching() {
  Document document;
  document.pcrs = sample().pcrs;
  for (unsigned i = 3; i < 16; ++i) document.pcrs[i] = Bytes(48, 0);
  return document;
}

TEST(Measurements, PrintsTheShapeOfNitroCli) {
  EXPECT_EQ(sample().to_json(),
            "{\n  \"Measurements\": {\n    \"HashAlgorithm\": \"Sha384 { ... }\",\n    \"PCR0\": \"" +
                hex48('1') + "\",\n    \"PCR1\": \"" + hex48('2') + "\",\n    \"PCR2\": \"" + hex48('3') +
                "\"\n  }\n}\n");
}

TEST(Measurements, ReadsWhatItPrints) {
  auto measurements = sample();
  measurements.pcrs[8] = Bytes(48, 0x88);
  EXPECT_EQ(Measurements::from_json(measurements.to_json()).value().pcrs, measurements.pcrs);
}

TEST(Measurements, IgnoresWhatStandsBeside) {
  auto json =
      R"({"EnclaveName":"x","Simulated":false,"Measurements":{"HashAlgorithm":"Sha384 { ... }","PCR0":")" +
      hex48('A') + R"("},"Tool":{"Version":[1,{"a":2}]}})";
  EXPECT_EQ(Measurements::from_json(json).value().pcrs.at(0), Bytes(48, 0xAA));
}

TEST(Measurements, TakesTheHashUnderBothNamesOfAwsTools) {
  for (const char* name : {"Sha384 { ... }", "Sha512_48 { .. }"}) {
    auto json = fmt::format(R"({{"Measurements":{{"HashAlgorithm":"{}","PCR0":"{}"}}}})", name, hex48('1'));
    EXPECT_TRUE(Measurements::from_json(json)) << name;
  }
}

TEST(Measurements, RefusesEverythingElse) {
  auto pcr0 = "\"PCR0\":\"" + hex48('1') + "\"";
  ASSERT_TRUE(Measurements::from_json(file(pcr0)).has_value());
  for (const auto& json : {
           std::string(),
           std::string("{"),
           std::string("null"),
           std::string("[]"),
           std::string("{}"),
           std::string(R"({"Measurements":[]})"),
           std::string(R"({"Measurements":{}})"),
           R"({"Measurements":{)" + pcr0 + "}}",                                  // no algorithm
           R"({"Measurements":{"HashAlgorithm":"Sha256",)" + pcr0 + "}}",         // another one
           R"({"Measurements":{"HashAlgorithm":"Sha512 { .. }",)" + pcr0 + "}}",  // not cut
           R"({"Measurements":{"HashAlgorithm":384,)" + pcr0 + "}}",              //
           file(pcr0) + "x",                                                      // trailing text
           file(pcr0 + "," + pcr0),                                               // twice
           file("\"PCR1\":\"" + hex48('1') + "\""),                               // no PCR0
           file("\"PCR0\":\"" + hex48('0') + "\""),                               // zero
           file(pcr0 + ",\"PCR1\":\"" + hex48('0') + "\""),                       // zero
           file("\"PCR0\":\"" + hex48('g') + "\""),                               // not hexadecimal
           file("\"PCR0\":\"" + hex48('1').substr(1) + "\""),                     // too short
           file("\"PCR0\":\"" + hex48('1') + "11\""),                             // too long
           file("\"PCR0\":[]"),                                                   //
           file(pcr0 + ",\"PCR00\":\"" + hex48('1') + "\""),                      // other spellings
           file(pcr0 + ",\"PCR+1\":\"" + hex48('1') + "\""),                      //
           file(pcr0 + ",\"PCR 1\":\"" + hex48('1') + "\""),                      //
           file(pcr0 + ",\"pcr1\":\"" + hex48('1') + "\""),                       //
           file(pcr0 + ",\"PCR\":\"" + hex48('1') + "\""),                        //
           file(pcr0 + ",\"PCR32\":\"" + hex48('1') + "\""),                      // no such register
           file(pcr0 + ",\"PCR4294967296\":\"" + hex48('1') + "\""),              //
           file(pcr0 + ",\"Other\":1"),                                           //
           std::string(kMaxMeasurementsFile, ' ') + file(pcr0),                   // too large
           std::string(kMaxMeasurementsFile / 2, '['),                            // deep
       }) {
    auto parsed = Measurements::from_json(json);
    ASSERT_FALSE(parsed.has_value()) << json.substr(0, 200);
    EXPECT_EQ(parsed.error().kind(), ErrorKind::invalid);
  }
}

TEST(Measurements, SimulatedOnesSayso) {
  auto measurements = sample();
  EXPECT_FALSE(measurements.simulated());
  std::ranges::copy(kSimulatedPrefix, measurements.pcrs[0].begin());
  EXPECT_TRUE(measurements.simulated());
  auto json = measurements.to_json();
  EXPECT_NE(json.find("},\n  \"Simulated\": true\n}"), std::string::npos) << json;
  EXPECT_TRUE(Measurements::from_json(json).value().simulated());
}

TEST(Measurements, MatchADocument) {
  EXPECT_TRUE(sample().check(matching()).has_value());
}

TEST(Measurements, NameTheFirstRegisterThatDiffers) {
  auto refused = [](const Measurements& measurements, const Document& document) {
    auto status = measurements.check(document);
    EXPECT_FALSE(status.has_value());
    if (status.has_value()) return std::string();
    EXPECT_EQ(status.error().kind(), ErrorKind::denied);
    return status.error().message().substr(0, 4);
  };
  for (unsigned i = 0; i < 3; ++i) {
    auto name = "PCR" + std::to_string(i);
    auto document = matching();
    document.pcrs[i][47] ^= 1;
    EXPECT_EQ(refused(sample(), document), name);
    document.pcrs.erase(i);
    EXPECT_EQ(refused(sample(), document), name);
    document.pcrs[i] = Bytes(48, 0);
    EXPECT_EQ(refused(sample(), document), name);
    document.pcrs[i] = Bytes(32, static_cast<std::uint8_t>(0x11 * (i + 1)));
    EXPECT_EQ(refused(sample(), document), name);
  }
}

TEST(Measurements, ZeroNeverMatchesNorDoesNothing) {
  Measurements zero;
  zero.pcrs[0] = Bytes(48, 0);
  Document document;
  document.pcrs[0] = Bytes(48, 0);
  EXPECT_FALSE(zero.check(document).has_value());
  EXPECT_FALSE(Measurements{}.check(matching()).has_value());
  Measurements without_pcr0;
  without_pcr0.pcrs[1] = sample().pcrs[1];
  EXPECT_FALSE(without_pcr0.check(matching()).has_value());
}

}  // namespace
}  // namespace cloister::attestation
