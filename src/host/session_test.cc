// The judgement of a document that has come over a connection (docs/formats/control.md).
#include "host/session.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"

namespace cloister::host {
namespace {

constexpr sys::UnixMillis kNow = 1'800'000'000'000;
constexpr sys::UnixMillis kSecond = 1000;

class SessionDocument : public testing::Test {
 protected:
  SessionDocument() {
    for (unsigned index = 0; index < 3; ++index) document.pcrs[index] = Bytes(48, std::uint8_t(index + 1));
    document.timestamp = kNow;
    document.nonce = nonce;
    Bytes bound = to_bytes(std::string_view("cloister/tls/v1"));
    append(bound, spki);
    append(bound, exporter);
    document.user_data = to_bytes(crypto::sha256(bound));
  }

  std::string refusal() const {
    attestation::Measurements measurements;
    measurements.pcrs[0] = Bytes(48, 1);
    Expectation expected{.measurements = measurements, .root = attestation::aws_nitro_root()};
    auto checked = check_session_document(document, nonce, spki, exporter, expected, kNow);
    if (checked) return "";
    EXPECT_EQ(checked.error().kind(), ErrorKind::denied);
    return checked.error().message();
  }

  Bytes nonce = Bytes(32, 7);
  Bytes spki = Bytes(91, 8);
  Bytes exporter = Bytes(32, 9);
  attestation::Document document;
};

TEST_F(SessionDocument, IsTakenWhenEverythingIsRight) {
  EXPECT_EQ(refusal(), "");
}

TEST_F(SessionDocument, IsOfThisNonce) {
  document.nonce->back() ^= 1;
  EXPECT_NE(refusal().find("another nonce"), std::string::npos);
  document.nonce = Bytes();
  EXPECT_NE(refusal().find("another nonce"), std::string::npos);
  document.nonce.reset();
  EXPECT_NE(refusal().find("another nonce"), std::string::npos);
}

TEST_F(SessionDocument, IsOfThisConnection) {
  for (auto* part : {&spki, &exporter}) {
    part->front() ^= 1;
    EXPECT_NE(refusal().find("another connection"), std::string::npos);
    part->front() ^= 1;
  }
  document.user_data.reset();
  EXPECT_NE(refusal().find("another connection"), std::string::npos);
}

TEST_F(SessionDocument, IsNotMadeForKeys) {
  document.public_key = Bytes(1);
  EXPECT_NE(refusal().find("another purpose"), std::string::npos);
}

TEST_F(SessionDocument, IsAtMostFiveMinutesOff) {
  for (int sign : {-1, 1}) {
    document.timestamp = kNow + sign * 300 * kSecond;
    EXPECT_EQ(refusal(), "");
    document.timestamp = kNow + sign * 301 * kSecond;
    EXPECT_NE(refusal().find("301 s off"), std::string::npos);
  }
}

TEST_F(SessionDocument, IsOfTheExpectedImageAndNotOfDebugMode) {
  document.pcrs[0].back() ^= 1;
  EXPECT_NE(refusal().find("PCR0"), std::string::npos);
  for (auto& [index, pcr] : document.pcrs) pcr = Bytes(48);
  EXPECT_NE(refusal().find("debug mode"), std::string::npos);
  document.pcrs.clear();
  EXPECT_NE(refusal(), "");
}

}  // namespace
}  // namespace cloister::host
