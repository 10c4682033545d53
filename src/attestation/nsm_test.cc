#include "attestation/nsm.h"

#include <gtest/gtest.h>

#include "attestation/nsm_message.h"

namespace cloister::attestation {
namespace {

Bytes hex(std::string_view digits) {
  return from_hex(digits).value();
}

// A = text or bytes of that name, in hexadecimal.
std::string text_hex(std::string_view text) {
  return to_hex(Bytes{static_cast<std::uint8_t>(0x60 + text.size())}) + to_hex(as_bytes(text));
}
std::string variant(std::string_view name, std::string_view fields) {
  return "a1" + text_hex(name) + std::string(fields);
}

// What serde writes for the Rust types.
TEST(NsmMessage, RequestsHaveTheWireFormOfTheCrate) {
  struct Case {
    NsmRequest request;
    std::string wire;
  };
  for (const auto& [request, wire] : std::vector<Case>{
           {DescribeNsmRequest{}, text_hex("DescribeNSM")},
           {GetRandomRequest{}, text_hex("GetRandom")},
           {DescribePcrRequest{.index = 3}, variant("DescribePCR", "a1" + text_hex("index") + "03")},
           {LockPcrRequest{.index = 300}, variant("LockPCR", "a1" + text_hex("index") + "19012c")},
           {LockPcrsRequest{.range = 32}, variant("LockPCRs", "a1" + text_hex("range") + "1820")},
           {ExtendPcrRequest{.index = 16, .data = hex("aabb")},
            variant("ExtendPCR", "a2" + text_hex("index") + "10" + text_hex("data") + "42aabb")},
           {AttestationRequest{.nonce = hex("01")},
            variant("Attestation", "a3" + text_hex("user_data") + "f6" + text_hex("nonce") + "4101" +
                                       text_hex("public_key") + "f6")},
       }) {
    EXPECT_EQ(to_hex(encode_request(request)), wire);
    auto parsed = parse_request(hex(wire));
    ASSERT_TRUE(parsed.has_value()) << wire << parsed.error().message();
    EXPECT_EQ(parsed->index(), request.index());
    EXPECT_EQ(encode_request(*parsed), hex(wire));
  }
}

std::vector<std::pair<NsmResponse, std::string>> responses() {
  NsmDescription about{.module_id = "i-0", .max_pcrs = 32, .locked_pcrs = {0, 1}, .digest = "SHA384"};
  return {
      {LockPcrResponse{}, text_hex("LockPCR")},
      {LockPcrsResponse{}, text_hex("LockPCRs")},
      {PcrState{.locked = true, .value = hex("aa")},
       variant("DescribePCR", "a2" + text_hex("lock") + "f5" + text_hex("data") + "41aa")},
      {ExtendPcrResponse{.data = hex("bb")}, variant("ExtendPCR", "a1" + text_hex("data") + "41bb")},
      {AttestationResponse{.document = hex("84")},
       variant("Attestation", "a1" + text_hex("document") + "4184")},
      {GetRandomResponse{.random = hex("0102")}, variant("GetRandom", "a1" + text_hex("random") + "420102")},
      {NsmErrorCode::read_only_index, variant("Error", text_hex("ReadOnlyIndex"))},
      {about,
       variant("DescribeNSM", "a7" + text_hex("version_major") + "01" + text_hex("version_minor") + "00" +
                                  text_hex("version_patch") + "00" + text_hex("module_id") + text_hex("i-0") +
                                  text_hex("max_pcrs") + "1820" + text_hex("locked_pcrs") + "820001" +
                                  text_hex("digest") + text_hex("SHA384"))},
  };
}

TEST(NsmMessage, ResponsesHaveTheWireFormOfTheCrate) {
  for (const auto& [response, wire] : responses()) {
    EXPECT_EQ(to_hex(encode_response(response)), wire);
    auto parsed = parse_response(hex(wire));
    ASSERT_TRUE(parsed.has_value()) << wire << parsed.error().message();
    EXPECT_EQ(parsed->index(), response.index());
    EXPECT_EQ(encode_response(*parsed), hex(wire));
  }
}

TEST(NsmMessage, EveryErrorCodeHasItsName) {
  for (auto name : {"Success", "InvalidArgument", "InvalidIndex", "InvalidResponse", "ReadOnlyIndex",
                    "InvalidOperation", "BufferTooSmall", "InputTooLarge", "InternalError"}) {
    auto parsed = parse_response(hex(variant("Error", text_hex(name))));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(to_string(std::get<NsmErrorCode>(*parsed)), name);
  }
  EXPECT_FALSE(parse_response(hex(variant("Error", text_hex("Whatever")))).has_value());
}

TEST(NsmMessage, TruncatedAndLongerMessagesAreRefused) {
  for (const auto& [response, wire] : responses()) {
    auto bytes = hex(wire);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(parse_response(ByteView(bytes).first(size)).has_value()) << wire << " " << size;
    }
    bytes.push_back(0);
    EXPECT_FALSE(parse_response(bytes).has_value()) << wire;
  }
}

TEST(NsmMessage, StrangeResponsesAreRefused) {
  for (const auto& wire : {
           text_hex("GetRandom"),                                                            // has fields
           text_hex("Whatever"),                                                             //
           variant("LockPCR", "a0"),                                                         // has none
           variant("Whatever", "a0"),                                                        //
           variant("GetRandom", "a0"),                                                       // field missing
           variant("GetRandom", "a1" + text_hex("random") + "40"),                           // nothing random
           variant("GetRandom", "a1" + text_hex("random") + "80"),                           // an array
           variant("GetRandom", "a2" + text_hex("random") + "4101" + text_hex("x") + "00"),  // unknown field
           variant("GetRandom", "a2" + text_hex("random") + "4101" + text_hex("random") + "4101"),  // twice
           variant("DescribePCR",
                   "a2" + text_hex("lock") + "01" + text_hex("data") + "41aa"),             // not a boolean
           variant("ExtendPCR", "a1" + text_hex("data") + "5841" + std::string(130, '0')),  // 65 bytes
           std::string("a2") + text_hex("Error") + text_hex("Success") + text_hex("Error2") +
               "00",           // two variants
           std::string("a0"),  //
           std::string("80"),  //
           std::string("00"),  //
           std::string(),      //
       }) {
    auto parsed = parse_response(hex(wire));
    ASSERT_FALSE(parsed.has_value()) << wire;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt) << wire;
  }
  EXPECT_FALSE(parse_response(Bytes(kMaxNsmResponse + 1, 0x60)).has_value());
  EXPECT_FALSE(parse_request(Bytes(kMaxNsmRequest + 1, 0x60)).has_value());
}

TEST(NsmMessage, StrangeRequestsAreRefused) {
  for (const auto& wire : {
           text_hex("Attestation"),
           text_hex("LockPCR"),
           variant("DescribeNSM", "a0"),
           variant("DescribePCR", "a0"),
           variant("DescribePCR", "a1" + text_hex("index") + "20"),          // negative
           variant("DescribePCR", "a1" + text_hex("index") + "1a00010000"),  // beyond 16 bits
           variant("Attestation", "a1" + text_hex("nonse") + "f6"),
           variant("Attestation", "a1" + text_hex("nonce") + "00"),
           variant("Error", text_hex("Success")),
       }) {
    EXPECT_FALSE(parse_request(hex(wire)).has_value()) << wire;
  }
}

TEST(NsmMessage, ANewerModuleMayDescribeMore) {
  auto longer = NsmDescription{.module_id = "i-0", .max_pcrs = 32, .digest = "SHA384", .version_minor = 9};
  auto wire = to_hex(encode_response(longer));
  auto at = wire.find("a7" + text_hex("version_major"));
  ASSERT_NE(at, std::string::npos);
  wire.replace(at, 2, "a8" + text_hex("extra") + "820102");
  EXPECT_EQ(std::get<NsmDescription>(parse_response(hex(wire)).value()).version_minor, 9U);
}

class Scripted final : public NsmDevice {
 public:
  Result<Bytes> exchange(ByteView request) override {
    asked = to_bytes(request);
    return answer;
  }
  Bytes asked;
  Bytes answer;
};

TEST(Nsm, AsksAndUnderstands) {
  Scripted device;
  Nsm nsm(device);
  device.answer = encode_response(AttestationResponse{.document = hex("84")});
  EXPECT_EQ(nsm.attest({.nonce = hex("01")}).value(), hex("84"));
  EXPECT_EQ(device.asked, encode_request(AttestationRequest{.nonce = hex("01")}));
  device.answer = encode_response(PcrState{.locked = true, .value = hex("aa")});
  EXPECT_TRUE(nsm.describe_pcr(4).value().locked);
  EXPECT_EQ(device.asked, encode_request(DescribePcrRequest{.index = 4}));
  device.answer = encode_response(ExtendPcrResponse{.data = hex("bb")});
  EXPECT_EQ(nsm.extend_pcr(16, hex("cc")).value(), hex("bb"));
  device.answer = encode_response(LockPcrResponse{});
  EXPECT_TRUE(nsm.lock_pcr(16).has_value());
  device.answer = encode_response(LockPcrsResponse{});
  EXPECT_TRUE(nsm.lock_pcrs(32).has_value());
  device.answer = encode_response(GetRandomResponse{.random = hex("0102")});
  EXPECT_EQ(nsm.random().value(), hex("0102"));
  device.answer = encode_response(NsmDescription{.module_id = "i-0", .max_pcrs = 32, .digest = "SHA384"});
  EXPECT_EQ(nsm.describe().value().max_pcrs, 32U);
}

TEST(Nsm, NamesTheErrorsOfTheModule) {
  Scripted device;
  Nsm nsm(device);
  device.answer = encode_response(NsmErrorCode::read_only_index);
  auto denied = nsm.lock_pcr(0);
  ASSERT_FALSE(denied.has_value());
  EXPECT_EQ(denied.error().kind(), ErrorKind::denied);
  EXPECT_NE(denied.error().message().find("ReadOnlyIndex"), std::string::npos);
  device.answer = encode_response(NsmErrorCode::invalid_index);
  EXPECT_EQ(nsm.lock_pcr(99).error().kind(), ErrorKind::invalid);
}

TEST(Nsm, RefusesAnswersToOtherQuestions) {
  Scripted device;
  Nsm nsm(device);
  device.answer = encode_response(LockPcrsResponse{});
  EXPECT_EQ(nsm.lock_pcr(16).error().kind(), ErrorKind::corrupt);
  EXPECT_EQ(nsm.random().error().kind(), ErrorKind::corrupt);
  device.answer = hex("ff");
  EXPECT_EQ(nsm.random().error().kind(), ErrorKind::corrupt);
}

TEST(Nsm, RefusesRequestsThatNoDeviceTakes) {
  Scripted device;
  Nsm nsm(device);
  EXPECT_EQ(nsm.attest({.user_data = Bytes(kMaxNsmRequest)}).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(nsm.lock_pcr(65536).error().kind(), ErrorKind::invalid);
  EXPECT_TRUE(device.asked.empty());
}

TEST(NsmDevice, AMissingOneIsUnavailable) {
  auto device = open_nsm_device("/nonexistent/nsm");
  ASSERT_FALSE(device.has_value());
  EXPECT_EQ(device.error().kind(), ErrorKind::unavailable);
}

TEST(NsmDevice, AnotherDeviceRefusesTheCall) {
  auto device = open_nsm_device("/dev/null");
  ASSERT_TRUE(device.has_value());
  auto answer = (*device)->exchange(encode_request(GetRandomRequest{}));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().kind(), ErrorKind::system);
  EXPECT_EQ((*device)->exchange(Bytes(kMaxNsmRequest + 1)).error().kind(), ErrorKind::invalid);
}

}  // namespace
}  // namespace cloister::attestation
