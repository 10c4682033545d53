#include "image/eif_signature.h"

#include <algorithm>

#include "codec/cbor.h"
#include "image/eif_testing.h"

namespace cloister::image {
namespace {

constexpr sys::UnixMillis kNow = (kCertificateStart + kCertificateEnd) / 2;

class EifSignatureTest : public testing::Test {
 protected:
  Eif signed_image(const Signer& signer) {
    auto image = Eif::open(shop_.image());
    auto status = sign_eif(*image, shop_.path("signed.eif"), signer, false, kNow);
    EXPECT_TRUE(status) << status.error().message();
    auto out = Eif::open(shop_.path("signed.eif"));
    EXPECT_TRUE(out) << out.error().message();
    return std::move(out).value();
  }
  Workshop shop_;
};

TEST_F(EifSignatureTest, EveryTypeOfKeySigns) {
  for (auto type : {crypto::KeyType::p256, crypto::KeyType::p384, crypto::KeyType::p521}) {
    auto signer = make_signer(type);
    auto image = signed_image(signer);
    auto signature = read_signature(image);
    ASSERT_TRUE(signature && *signature);
    EXPECT_EQ((*signature)->certificate.der(), signer.certificate.der());
    EXPECT_TRUE(verify_signature(**signature, measure_pcr0(image).value()));
  }
}

TEST_F(EifSignatureTest, AKeyThatSignsNoImagesIsRefused) {
  auto image = Eif::open(shop_.image());
  auto status =
      sign_eif(*image, shop_.path("signed.eif"), make_signer(crypto::KeyType::ed25519), false, kNow);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind(), ErrorKind::invalid);
  EXPECT_FALSE(std::filesystem::exists(shop_.path("signed.eif")));
}

TEST_F(EifSignatureTest, SigningChangesNoRegisterButPcr8) {
  auto plain = measure_eif(*Eif::open(shop_.image()));
  auto signer = make_signer();
  auto image = signed_image(signer);
  auto measured = measure_eif(image);
  ASSERT_TRUE(plain && measured);
  Bytes input(48);
  append(input, crypto::sha384(signer.certificate.der()));
  EXPECT_EQ(measured->pcrs.at(8), to_bytes(crypto::sha384(input)));
  measured->pcrs.erase(8);
  EXPECT_EQ(measured->pcrs, plain->pcrs);
}

TEST_F(EifSignatureTest, ASignatureOfAnotherImageIsRefused) {
  auto signature = read_signature(signed_image(make_signer())).value().value();
  auto verified = verify_signature(signature, attestation::Pcr(48, 7));
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().kind(), ErrorKind::denied);
  EXPECT_NE(verified.error().message().find("another image"), std::string::npos);
}

TEST_F(EifSignatureTest, AStatementThatSomebodyElseSignedIsRefused) {
  auto image = signed_image(make_signer());
  auto pcr0 = measure_pcr0(image).value();
  auto signature = read_signature(image).value().value();
  ASSERT_TRUE(verify_signature(signature, pcr0));
  auto foreign = signature;
  foreign.certificate = make_signer().certificate;
  EXPECT_FALSE(verify_signature(foreign, pcr0));
  auto forged = signature;
  forged.statement.signature[5] ^= 1;
  EXPECT_FALSE(verify_signature(forged, pcr0));
  auto renamed = signature;
  renamed.statement.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs256);
  EXPECT_FALSE(verify_signature(renamed, pcr0));
}

TEST_F(EifSignatureTest, AStatementUnderAnotherAlgorithmsNameIsRefused) {
  auto signer = make_signer();
  auto image = signed_image(signer);
  auto pcr0 = measure_pcr0(image).value();
  auto signature = read_signature(image).value().value();
  for (auto algorithm : {codec::kCoseEs384, codec::kCoseEs256}) {
    signature.statement.protected_headers = codec::encode_cose_algorithm(algorithm);
    signature.statement.signature = signer.key.sign(signature.statement.signed_bytes()).value();
    EXPECT_EQ(verify_signature(signature, pcr0).has_value(), algorithm == codec::kCoseEs384);
  }
}

TEST_F(EifSignatureTest, AStatementAboutAnotherRegisterIsRefused) {
  auto signer = make_signer();
  auto image = signed_image(signer);
  auto pcr0 = measure_pcr0(image).value();
  auto signature = read_signature(image).value().value();
  auto& payload = signature.statement.payload;
  auto index = std::ranges::find(payload, 0);  // the first zero is register_index's value
  ASSERT_NE(index, payload.end());
  *index = 1;
  signature.statement.signature = signer.key.sign(signature.statement.signed_bytes()).value();
  auto verified = verify_signature(signature, pcr0);
  ASSERT_FALSE(verified);
  EXPECT_NE(verified.error().message().find("not about PCR0"), std::string::npos);
}

TEST_F(EifSignatureTest, AnotherKeyThanTheCertificatesIsRefused) {
  auto image = Eif::open(shop_.image());
  Signer mixed{make_signer().key, make_signer().certificate};
  auto status = sign_eif(*image, shop_.path("signed.eif"), mixed, false, kNow);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message().find("the key is not the certificate's"), std::string::npos);
}

TEST_F(EifSignatureTest, OutsideTheCertificatesTimeNothingIsSigned) {
  auto image = Eif::open(shop_.image());
  auto signer = make_signer();
  EXPECT_FALSE(sign_eif(*image, shop_.path("s.eif"), signer, false, kCertificateStart - 1000));
  EXPECT_FALSE(sign_eif(*image, shop_.path("s.eif"), signer, false, kCertificateEnd + 1000));
  EXPECT_TRUE(sign_eif(*image, shop_.path("s.eif"), signer, false, kCertificateStart));
  EXPECT_TRUE(sign_eif(*image, shop_.path("s.eif"), signer, false, kCertificateEnd));
}

TEST_F(EifSignatureTest, ASignedImageIsSignedAnewOnlyOnDemand) {
  signed_image(make_signer());
  auto path = shop_.path("signed.eif");
  auto again = Eif::open(path);
  auto other = make_signer(crypto::KeyType::p256);
  EXPECT_FALSE(sign_eif(*again, path, other, false, kNow));
  auto before = again->sections().size();
  ASSERT_TRUE(sign_eif(*again, path, other, true, kNow));
  auto replaced = Eif::open(path);
  ASSERT_TRUE(replaced) << replaced.error().message();
  EXPECT_EQ(replaced->sections().size(), before);
  EXPECT_EQ(read_signature(*replaced)->value().certificate.der(), other.certificate.der());
}

TEST_F(EifSignatureTest, TheSectionHasOneForm) {
  auto good = encode_signature(read_signature(signed_image(make_signer())).value().value());
  ASSERT_TRUE(parse_signature(good));
  for (std::size_t size = 0; size < good.size(); size += 7)
    EXPECT_FALSE(parse_signature(ByteView(good).first(size))) << size;
  auto bad = good;
  bad.push_back(0);
  EXPECT_FALSE(parse_signature(bad));
  bad = good;
  bad[0] = 0x80;  // no pair at all
  EXPECT_FALSE(parse_signature(ByteView(bad).first(1)));
  bad = good;
  bad[0] = 0x82;  // two pairs, of which one is there
  EXPECT_FALSE(parse_signature(bad));
  bad = good;
  bad[3] ^= 1;  // in the name of a member
  auto refused = parse_signature(bad);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace cloister::image
