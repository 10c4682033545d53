#include "codec/cose.h"

#include <gtest/gtest.h>

namespace cloister::codec {
namespace {

Bytes hex(std::string_view digits) {
  return from_hex(digits).value();
}

CoseSign1 sample() {
  return {
      .protected_headers = encode_cose_algorithm(kCoseEs384), .payload = hex("a0"), .signature = hex("0102")};
}

TEST(Cose, GoesBothWays) {
  EXPECT_EQ(to_hex(sample().encode()), "8444a1013822a041a0420102");
  for (auto digits :
       {"8444a1013822a041a0420102", "d28444a1013822a041a0420102", "9f44a1013822bfff5f41a0ff5f41014102ffff"}) {
    auto message = CoseSign1::parse(hex(digits), 1);
    ASSERT_TRUE(message.has_value()) << digits << message.error().message();
    EXPECT_EQ(message->protected_headers, sample().protected_headers);
    EXPECT_EQ(message->payload, sample().payload);
    EXPECT_EQ(message->signature, sample().signature);
    EXPECT_EQ(message->algorithm().value(), kCoseEs384);
  }
}

TEST(Cose, SignsTheStructureOfTheStandard) {
  // ["Signature1", h'a1013822', h'', h'a0']
  EXPECT_EQ(to_hex(sample().signed_bytes()), "846a5369676e61747572653144a10138224041a0");
}

TEST(Cose, RefusesWhatIsNotOneSignedMessage) {
  for (auto digits : {
           "",
           "8344a1013822a041a0",            // three elements
           "8544a1013822a041a042010200",    // five
           "d18444a1013822a041a0420102",    // tag 17
           "d2d28444a1013822a041a0420102",  // tagged twice
           "8444a1013822a1010041a0420102",  // unprotected headers
           "8444a1013822a0f6420102",        // detached payload
           "8444a1013822f641a0420102",      // no unprotected map
           "8464a1013822a041a0420102",      // protected is text
           "8444a1013822a041a042010200",    // trailing byte
           "8444a1013822a041a04201",        // truncated
           "9f44a1013822a041a0420102",      // no break
           "8444a1013822a042a0a0420102",    // payload over its limit
       }) {
    auto message = CoseSign1::parse(hex(digits), 1);
    ASSERT_FALSE(message.has_value()) << digits;
    EXPECT_EQ(message.error().kind(), ErrorKind::corrupt);
  }
}

TEST(Cose, TheAlgorithmIsTheOnlyProtectedHeader) {
  for (auto digits : {"", "a0", "a10226", "a20138220440", "a1013822ff", "a101616e", "a20138220126", "80"}) {
    auto message = sample();
    message.protected_headers = hex(digits);
    EXPECT_FALSE(message.algorithm().has_value()) << digits;
  }
  auto message = sample();
  message.protected_headers = hex("a10126");
  EXPECT_EQ(message.algorithm().value(), -7);
}

}  // namespace
}  // namespace cloister::codec
