#include "codec/base64.h"

#include <gtest/gtest.h>

namespace cloister::codec {
namespace {

// RFC 4648 section 10.
TEST(Base64, GoesBothWays) {
  struct Case {
    std::string_view plain;
    std::string_view encoded;
  };
  for (auto [plain, encoded] :
       {Case{"", ""}, Case{"f", "Zg=="}, Case{"fo", "Zm8="}, Case{"foo", "Zm9v"}, Case{"foob", "Zm9vYg=="},
        Case{"fooba", "Zm9vYmE="}, Case{"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(as_bytes(plain)), encoded);
    EXPECT_EQ(from_base64(encoded).value(), to_bytes(plain));
  }
}

TEST(Base64, CarriesEveryByte) {
  Bytes all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<std::uint8_t>(i));
  EXPECT_EQ(from_base64(to_base64(all)).value(), all);
  EXPECT_EQ(to_base64(from_hex("fbeff0ffff").value()), "++/w//8=");
}

TEST(Base64, HasOneTextForEachByteString) {
  for (auto text :
       {"Z",    "Zg",    "Zg=",   "Zg===", "=",    "==",   "====", "Zg==Zg==", "Z=g=", "=Zg=",      "Zm9v\n",
        "Zm9 ", " Zm9v", "Zm9v=", "Zh==",  "Zm9=", "Zm_v", "Zm-v", "Zm9v====", "Z===", "Zm\xC3\xA9"}) {
    auto decoded = from_base64(text);
    ASSERT_FALSE(decoded.has_value()) << text;
    EXPECT_EQ(decoded.error().kind(), ErrorKind::invalid);
  }
}

TEST(Base64, OfUrlsHasTwoOtherDigits) {
  EXPECT_EQ(from_base64url("--_w__8=").value(), from_hex("fbeff0ffff").value());
  for (auto text : {"++/w//8=", "Zm+v", "Zm/v", "Zh==", "Zg", "Zm9v\n"})
    EXPECT_FALSE(from_base64url(text)) << text;
}

}  // namespace
}  // namespace cloister::codec
