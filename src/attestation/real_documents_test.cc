// Documents that real Nitro Secure Modules made (tests/data/attestation).
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <ctime>
#include <nlohmann/json.hpp>

#include "attestation/document.h"
#include "codec/cose.h"
#include "sys/file.h"

namespace cloister::attestation {
namespace {

constexpr sys::UnixMillis kSecond = 1000;
constexpr sys::UnixMillis kYear = 365LL * 24 * 3600 * kSecond;

std::string data_path(const std::string& name) {
  return std::string(CLOISTER_TEST_DATA) + "/attestation/" + name;
}

nlohmann::json expected_of(const std::string& name) {
  auto text = sys::read_file(data_path("expected.json"), 1 << 20).value();
  return nlohmann::json::parse(as_text(text)).at(name);
}

std::optional<Bytes> optional_hex(const nlohmann::json& value) {
  if (value.is_null()) return std::nullopt;
  return from_hex(value.get<std::string>()).value();
}

sys::UnixMillis utc(const std::string& text) {
  std::tm parts{};
  EXPECT_NE(::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts), nullptr);
  return static_cast<sys::UnixMillis>(::timegm(&parts)) * kSecond;
}

class RealDocument : public ::testing::TestWithParam<std::string> {
 protected:
  bool in_payload(std::size_t offset) const {
    return offset >= payload_start_ && offset < payload_start_ + payload_.size();
  }

  Bytes bytes_ = sys::read_file(data_path(GetParam()), kMaxDocument).value();
  nlohmann::json expected_ = expected_of(GetParam());
  Bytes payload_ = codec::CoseSign1::parse(bytes_, kMaxDocument).value().payload;
  std::size_t payload_start_ =
      static_cast<std::size_t>(std::ranges::search(bytes_, payload_).begin() - bytes_.begin());
  crypto::Certificate root_ = aws_nitro_root();
  sys::UnixMillis at_ = expected_["timestamp_ms"].get<sys::UnixMillis>();
};

TEST_P(RealDocument, VerifiesAtItsOwnTimeWithTheExpectedFields) {
  auto document = verify(bytes_, root_, at_);
  ASSERT_TRUE(document.has_value()) << document.error().message();
  EXPECT_EQ(document->module_id, expected_["module_id"].get<std::string>());
  EXPECT_EQ(document->digest, expected_["digest"].get<std::string>());
  EXPECT_EQ(document->timestamp, at_);
  EXPECT_EQ(document->public_key, optional_hex(expected_["public_key"]));
  EXPECT_EQ(document->user_data, optional_hex(expected_["user_data"]));
  EXPECT_EQ(document->nonce, optional_hex(expected_["nonce"]));
  ASSERT_EQ(document->pcrs.size(), expected_["pcr_count"].get<std::size_t>());
  for (const auto& [index, value] : document->pcrs) {
    auto name = std::to_string(index);
    auto wanted =
        expected_["pcrs"].contains(name) ? expected_["pcrs"][name].get<std::string>() : std::string(96, '0');
    EXPECT_EQ(to_hex(value), wanted) << "PCR" << index;
  }
  EXPECT_EQ(document->debug_mode(), !expected_["pcrs"].contains("0"));
}

TEST_P(RealDocument, VerifiesOnlyWhileItsCertificateIsValid) {
  auto first = utc(expected_["leaf_not_before"].get<std::string>());
  auto last = utc(expected_["leaf_not_after"].get<std::string>());
  EXPECT_TRUE(verify(bytes_, root_, first).has_value());
  EXPECT_TRUE(verify(bytes_, root_, last - kSecond).has_value());
  for (auto at : {first - kSecond, last + kSecond, sys::UnixMillis{0}, at_ + kYear}) {
    auto document = verify(bytes_, root_, at);
    ASSERT_FALSE(document.has_value()) << at;
    EXPECT_EQ(document.error().kind(), ErrorKind::denied);
  }
}

TEST_P(RealDocument, IsEncodedAsWeEncode) {
  auto signed_document = SignedDocument::parse(bytes_).value();
  auto payload = encode_payload(signed_document.document);
  EXPECT_EQ(payload, codec::CoseSign1::parse(bytes_, kMaxDocument).value().payload);
}

TEST_P(RealDocument, MayBeTagged) {
  Bytes tagged{0xD2};
  append(tagged, bytes_);
  EXPECT_TRUE(verify(tagged, root_, at_).has_value());
}

TEST_P(RealDocument, IsRefusedWhenCutShortOrLonger) {
  for (std::size_t size = 0; size < bytes_.size(); ++size) {
    ASSERT_FALSE(SignedDocument::parse(ByteView(bytes_).first(size)).has_value()) << size;
  }
  for (auto more : Bytes{0x00, 0xF6, 0xFF}) {
    auto longer = bytes_;
    longer.push_back(more);
    EXPECT_FALSE(verify(longer, root_, at_).has_value());
  }
}

// No other encoding of the same message: whatever byte changes, either the structure is refused or what the
// signature is checked over and against is different. Every value of the bytes around the payload, every bit
// of those in it.
TEST_P(RealDocument, EveryByteIsSignedOrFixed) {
  auto original = codec::CoseSign1::parse(bytes_, kMaxDocument).value();
  auto changed = bytes_;
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    for (unsigned difference = 1; difference < 256; ++difference) {
      if (in_payload(i) && !std::has_single_bit(difference)) continue;
      changed[i] = static_cast<std::uint8_t>(bytes_[i] ^ difference);
      auto message = codec::CoseSign1::parse(changed, kMaxDocument);
      bool same = message.has_value() && message->payload == original.payload &&
                  message->protected_headers == original.protected_headers &&
                  message->signature == original.signature;
      ASSERT_FALSE(same) << "byte " << i << " may be changed by " << difference;
    }
    changed[i] = bytes_[i];
  }
}

// The same through the whole verification: each byte of one document, and each eighth of the others to save
// time.
TEST_P(RealDocument, ChangedBytesAreRefused) {
  std::size_t step = GetParam().starts_with("production") ? 1 : 8;
  auto changed = bytes_;
  for (std::size_t i = 0; i < bytes_.size(); i += step) {
    changed[i] = static_cast<std::uint8_t>(bytes_[i] ^ (1U << (i % 7)));
    ASSERT_FALSE(verify(changed, root_, at_).has_value()) << "byte " << i;
    changed[i] = bytes_[i];
  }
}

// The structure around the payload and the signature itself, bit by bit.
TEST_P(RealDocument, EveryChangedBitOfHeadersAndSignatureIsRefused) {
  auto changed = bytes_;
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    if (in_payload(i)) continue;
    for (unsigned bit = 0; bit < 8; ++bit) {
      changed[i] = static_cast<std::uint8_t>(bytes_[i] ^ (1U << bit));
      ASSERT_FALSE(verify(changed, root_, at_).has_value()) << "byte " << i << " bit " << bit;
    }
    changed[i] = bytes_[i];
  }
}

TEST_P(RealDocument, IsRefusedUnderAnotherRoot) {
  auto key = crypto::PrivateKey::generate(crypto::KeyType::p384).value();
  crypto::CertificateRequest request{.common_name = "aws.nitro-enclaves",
                                     .organization = "Amazon",
                                     .authority = true,
                                     .not_before = at_ - 3600 * kSecond,
                                     .not_after = at_ + 3600 * kSecond};
  auto other = crypto::issue_certificate(request, key.public_key(), nullptr, key).value();
  auto document = verify(bytes_, other, at_);
  ASSERT_FALSE(document.has_value());
  EXPECT_EQ(document.error().kind(), ErrorKind::denied);
}

// Its own intermediate as trusted root: the bundle must begin with what we trust.
TEST_P(RealDocument, IsRefusedUnderItsOwnIntermediate) {
  auto bundle = SignedDocument::parse(bytes_).value().document.cabundle;
  auto intermediate = crypto::Certificate::from_der(bundle[1]).value();
  EXPECT_FALSE(verify(bytes_, intermediate, at_).has_value());
}

// The same document under a key of one's own, with the genuine chain left in place.
TEST_P(RealDocument, CannotBeSignedAnew) {
  auto document = SignedDocument::parse(bytes_).value().document;
  auto key = crypto::PrivateKey::generate(crypto::KeyType::p384).value();
  EXPECT_FALSE(verify(sign_document(document, key).value(), root_, at_).has_value());
}

TEST_P(RealDocument, NeedsEveryCertificateOfItsBundle) {
  auto original = SignedDocument::parse(bytes_).value();
  for (std::size_t i = 0; i < original.document.cabundle.size(); ++i) {
    auto document = original.document;
    document.cabundle.erase(document.cabundle.begin() + static_cast<std::ptrdiff_t>(i));
    codec::CoseSign1 message{.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs384),
                             .payload = encode_payload(document),
                             .signature = original.signature};
    EXPECT_FALSE(verify(message.encode(), root_, at_).has_value()) << i;
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  auto name = info.param.substr(0, info.param.find('.'));
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Nitro, RealDocument,
                         ::testing::Values("debug-2022-10.cbor", "debug-2023-09.cbor",
                                           "production-2022-10.cbor"),
                         test_name);

TEST(AwsRoot, IsThePublishedOne) {
  auto root = aws_nitro_root();
  EXPECT_EQ(to_hex(root.fingerprint()), "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
  EXPECT_EQ(root.der(), sys::read_file(data_path("aws-nitro-enclaves-root-g1.der"), kMaxDocument).value());
}

}  // namespace
}  // namespace cloister::attestation
