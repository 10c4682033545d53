#include "crypto/x509_text.h"

#include <gtest/gtest.h>

namespace cloister::crypto {
namespace {

constexpr sys::UnixMillis kStart = 1'700'000'000'000;  // 2023-11-14 22:13:20
constexpr sys::UnixMillis kEnd = 1'800'000'000'000;    // 2027-01-15 08:00:00

TEST(CertificateText, SaysWhatTheCertificateSays) {
  auto key = PrivateKey::generate(KeyType::p384).value();
  auto certificate = issue_certificate(
      {.common_name = "signer", .organization = "Acme", .not_before = kStart, .not_after = kEnd},
      key.public_key(), nullptr, key);
  ASSERT_TRUE(certificate);
  auto text = text_of(*certificate);
  EXPECT_EQ(text.issuer.at("commonName"), "signer");
  EXPECT_EQ(text.issuer.at("organizationName"), "Acme");
  EXPECT_EQ(text.algorithm, "ecdsa-with-SHA384");
  EXPECT_EQ(text.not_before, "Nov 14 22:13:20 2023 GMT");
  EXPECT_EQ(text.not_after, "Jan 15 08:00:00 2027 GMT");
  // DER: the signature is the certificate's last field.
  auto der = certificate->der();
  ASSERT_GT(text.signature.size(), 90u);
  EXPECT_TRUE(std::equal(text.signature.rbegin(), text.signature.rend(), der.rbegin()));
}

}  // namespace
}  // namespace cloister::crypto
