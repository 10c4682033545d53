#include "attestation/document.h"

#include <gtest/gtest.h>

#include <functional>

#include "codec/cbor.h"
#include "codec/cose.h"

namespace cloister::attestation {
namespace {

using codec::CborWriter;

constexpr sys::UnixMillis kNow = 1700000000000;
constexpr sys::UnixMillis kHour = 3600 * 1000;

// The payload as a list of entries, each of which a test may drop, double or spoil.
struct Entry {
  std::string key;
  Bytes value;
};
using Payload = std::vector<Entry>;

Bytes encoded(const std::function<void(CborWriter&)>& write) {
  CborWriter writer;
  write(writer);
  return writer.view();
}
Bytes encoded_bytes(std::size_t size, std::uint8_t fill = 7) {
  return encoded([&](CborWriter& writer) { writer.bytes(Bytes(size, fill)); });
}
Bytes encoded_text(std::string_view text) {
  return encoded([&](CborWriter& writer) { writer.text(text); });
}
Bytes encoded_uint(std::uint64_t value) {
  return encoded([&](CborWriter& writer) { writer.uint(value); });
}
Bytes encoded_pcrs(const std::vector<std::pair<std::uint64_t, std::size_t>>& index_and_size) {
  return encoded([&](CborWriter& writer) {
    writer.map(index_and_size.size());
    for (auto [index, size] : index_and_size) writer.uint(index).bytes(Bytes(size, 1));
  });
}
Bytes encoded_list(const std::vector<std::size_t>& sizes) {
  return encoded([&](CborWriter& writer) {
    writer.array(sizes.size());
    for (auto size : sizes) writer.bytes(Bytes(size, 2));
  });
}

Payload good_payload() {
  return {{"module_id", encoded_text("i-0")}, {"digest", encoded_text("SHA384")},
          {"timestamp", encoded_uint(kNow)},  {"pcrs", encoded_pcrs({{0, 48}, {1, 48}})},
          {"certificate", encoded_bytes(10)}, {"cabundle", encoded_list({10, 20})}};
}

Bytes encode(const Payload& payload) {
  CborWriter writer;
  writer.map(payload.size());
  for (const auto& [key, value] : payload) writer.text(key).raw(value);
  return writer.view();
}

Bytes message_of(Bytes payload) {
  codec::CoseSign1 message{.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs384),
                           .payload = std::move(payload),
                           .signature = Bytes(96, 9)};
  return message.encode();
}

Result<SignedDocument> parse(const Payload& payload) {
  return SignedDocument::parse(message_of(encode(payload)));
}

Payload with(std::string_view key, Bytes value) {
  auto payload = good_payload();
  for (auto& entry : payload) {
    if (entry.key != key) continue;
    entry.value = std::move(value);
    return payload;
  }
  payload.push_back({std::string(key), std::move(value)});
  return payload;
}

void expect_corrupt(const Result<SignedDocument>& parsed, std::string_view what) {
  ASSERT_FALSE(parsed.has_value()) << what;
  EXPECT_EQ(parsed.error().kind(), ErrorKind::corrupt) << what;
}

TEST(Document, ParsesWithAndWithoutOptionalFields) {
  auto plain = parse(good_payload());
  ASSERT_TRUE(plain.has_value()) << plain.error().message();
  EXPECT_FALSE(plain->document.nonce.has_value());
  for (auto key : {"public_key", "user_data", "nonce"}) {
    EXPECT_TRUE(parse(with(key, Bytes{0xF6})).has_value()) << key;
    EXPECT_TRUE(parse(with(key, encoded_bytes(512))).has_value()) << key;
  }
  EXPECT_EQ(parse(with("nonce", encoded_bytes(3)))->document.nonce, Bytes(3, 7));
  EXPECT_EQ(parse(with("user_data", encoded_bytes(0)))->document.user_data, Bytes{});
}

TEST(Document, NeedsEachMandatoryField) {
  for (std::size_t i = 0; i < good_payload().size(); ++i) {
    auto payload = good_payload();
    auto name = payload[i].key;
    payload.erase(payload.begin() + static_cast<std::ptrdiff_t>(i));
    expect_corrupt(parse(payload), name);
    expect_corrupt(parse(with(name, Bytes{0xF6})), name + " null");
  }
}

TEST(Document, RefusesDoubledAndUnknownFields) {
  for (const auto& entry : good_payload()) {
    auto payload = good_payload();
    payload.push_back(entry);
    expect_corrupt(parse(payload), entry.key);
  }
  expect_corrupt(parse(with("extra", encoded_uint(0))), "extra");
  expect_corrupt(parse(with("Nonce", encoded_bytes(1))), "case");
  auto twice = with("nonce", encoded_bytes(1));
  twice.push_back({"nonce", encoded_bytes(2)});
  expect_corrupt(parse(twice), "nonce twice");
}

TEST(Document, RefusesFieldsOutsideTheirLimits) {
  expect_corrupt(parse(with("module_id", encoded_text(""))), "empty module_id");
  expect_corrupt(parse(with("module_id", encoded_text(std::string(kMaxModuleId + 1, 'x')))),
                 "long module_id");
  expect_corrupt(parse(with("module_id", encoded_bytes(3))), "module_id as bytes");
  for (auto digest : {"SHA256", "SHA512", "sha384", "SHA38", ""})
    expect_corrupt(parse(with("digest", encoded_text(digest))), digest);
  expect_corrupt(parse(with("timestamp", encoded_uint(0))), "timestamp 0");
  expect_corrupt(parse(with("timestamp", encoded_uint(1ULL << 63))), "timestamp beyond 63 bits");
  expect_corrupt(parse(with("timestamp", Bytes{0x20})), "timestamp -1");
  expect_corrupt(parse(with("certificate", encoded_bytes(0))), "empty certificate");
  expect_corrupt(parse(with("certificate", encoded_bytes(1025))), "long certificate");
  expect_corrupt(parse(with("cabundle", encoded_list({}))), "empty cabundle");
  expect_corrupt(parse(with("cabundle", encoded_list({10, 0}))), "empty authority");
  expect_corrupt(parse(with("cabundle", encoded_list({1025}))), "long authority");
  expect_corrupt(parse(with("cabundle", encoded_list(std::vector<std::size_t>(kMaxCaBundle + 1, 1)))),
                 "long cabundle");
  expect_corrupt(parse(with("public_key", encoded_bytes(0))), "empty public_key");
  expect_corrupt(parse(with("public_key", encoded_bytes(kMaxPublicKey + 1))), "long public_key");
  expect_corrupt(parse(with("user_data", encoded_bytes(kMaxUserData + 1))), "long user_data");
  expect_corrupt(parse(with("nonce", encoded_bytes(kMaxNonce + 1))), "long nonce");
  expect_corrupt(parse(with("nonce", encoded_text("x"))), "nonce as text");
}

TEST(Document, RefusesStrangePcrs) {
  for (auto size : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{47},
                    std::size_t{49}, std::size_t{63}, std::size_t{65}, std::size_t{32}, std::size_t{64}}) {
    expect_corrupt(parse(with("pcrs", encoded_pcrs({{0, size}}))), std::to_string(size));
  }
  EXPECT_TRUE(parse(with("pcrs", encoded_pcrs({{0, 48}}))).has_value());
  EXPECT_TRUE(parse(with("pcrs", encoded_pcrs({{31, 48}}))).has_value());
  expect_corrupt(parse(with("pcrs", encoded_pcrs({{32, 48}}))), "index 32");
  expect_corrupt(parse(with("pcrs", encoded_pcrs({{0, 48}, {0, 48}}))), "PCR0 twice");
  expect_corrupt(parse(with("pcrs", encoded_pcrs({}))), "none");
  expect_corrupt(parse(with("pcrs", encoded_list({48}))), "an array");
  auto text_key = encoded([](CborWriter& writer) { writer.map(1).text("0").bytes(Bytes(48)); });
  expect_corrupt(parse(with("pcrs", text_key)), "a text key");
}

TEST(Document, RefusesTrailingBytesInThePayload) {
  auto payload = encode(good_payload());
  ASSERT_TRUE(SignedDocument::parse(message_of(payload)).has_value());
  payload.push_back(0);
  expect_corrupt(SignedDocument::parse(message_of(payload)), "payload");
}

TEST(Document, AcceptsIndefiniteLengths) {
  Bytes payload{0xBF};
  for (const auto& [key, value] : good_payload()) {
    append(payload, encoded_text(key));
    append(payload, value);
  }
  payload.push_back(0xFF);
  EXPECT_TRUE(SignedDocument::parse(message_of(payload)).has_value());
  auto doubled = payload;
  doubled.pop_back();
  append(doubled, encoded_text("digest"));
  append(doubled, encoded_text("SHA384"));
  doubled.push_back(0xFF);
  expect_corrupt(SignedDocument::parse(message_of(doubled)), "digest twice");
}

TEST(Document, RefusesOtherAlgorithmsHeadersAndSignatureSizes) {
  codec::CoseSign1 good{.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs384),
                        .payload = encode(good_payload()),
                        .signature = Bytes(96, 9)};
  ASSERT_TRUE(SignedDocument::parse(good.encode()).has_value());
  for (std::int64_t algorithm : {-7, -36, -8, 0, 5}) {
    auto message = good;
    message.protected_headers = codec::encode_cose_algorithm(algorithm);
    expect_corrupt(SignedDocument::parse(message.encode()), std::to_string(algorithm));
  }
  for (auto headers : {"", "a0", "a20138220440", "a1043822"}) {
    auto message = good;
    message.protected_headers = from_hex(headers).value();
    expect_corrupt(SignedDocument::parse(message.encode()), headers);
  }
  for (std::size_t size : {0U, 64U, 95U, 97U, 104U}) {
    auto message = good;
    message.signature = Bytes(size, 9);
    expect_corrupt(SignedDocument::parse(message.encode()), std::to_string(size));
  }
  CborWriter unprotected;
  unprotected.array(4).bytes(good.protected_headers).map(1).integer(1).integer(codec::kCoseEs384);
  unprotected.bytes(good.payload).bytes(good.signature);
  expect_corrupt(SignedDocument::parse(unprotected.view()), "unprotected header");
}

// Whatever a module signs with, or whether it does (QEMU's own does not): its machine may take the time from
// it, and nobody may take it for verified.
TEST(Document, OfOnesOwnModuleTellsTheTimeWithoutASignature) {
  codec::CoseSign1 unsigned_one{.protected_headers = codec::encode_cose_algorithm(-1),
                                .payload = encode(good_payload()),
                                .signature = Bytes(64, 0)};
  EXPECT_EQ(time_of_own_module(unsigned_one.encode()).value(), kNow);
  expect_corrupt(SignedDocument::parse(unsigned_one.encode()), "not signed");
  auto with_less = good_payload();
  with_less.pop_back();
  EXPECT_EQ(time_of_own_module(message_of(encode(with_less))).error().kind(), ErrorKind::corrupt);
  EXPECT_EQ(time_of_own_module(Bytes(kMaxDocument + 1, 0x9F)).error().kind(), ErrorKind::corrupt);
}

TEST(Document, RefusesMoreThanItsLimit) {
  expect_corrupt(SignedDocument::parse(Bytes(kMaxDocument + 1, 0x9F)), "size");
  expect_corrupt(SignedDocument::parse({}), "nothing");
}

TEST(Document, DebugModeMeansThreeZeroPcrs) {
  Document document;
  for (unsigned i = 0; i < 5; ++i) document.pcrs[i] = Bytes(48, 0);
  EXPECT_TRUE(document.debug_mode());
  document.pcrs[4][0] = 1;
  EXPECT_TRUE(document.debug_mode());
  document.pcrs[2][47] = 1;
  EXPECT_FALSE(document.debug_mode());
  EXPECT_TRUE(Document{}.debug_mode());
}

struct Pair {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
};

Pair issue(const Pair* issuer, bool authority, crypto::KeyType type = crypto::KeyType::p384) {
  auto key = crypto::PrivateKey::generate(type).value();
  crypto::CertificateRequest request{.common_name = authority ? "authority" : "leaf",
                                     .organization = "test",
                                     .authority = authority,
                                     .not_before = kNow - kHour,
                                     .not_after = kNow + kHour};
  auto certificate = crypto::issue_certificate(
      request, key.public_key(), issuer ? &issuer->certificate : nullptr, issuer ? issuer->key : key);
  return {std::move(key), std::move(certificate).value()};
}

class OwnChain : public ::testing::Test {
 protected:
  Document document_for(const Pair& leaf) const {
    Document document{.module_id = "i-0", .digest = "SHA384", .timestamp = kNow};
    document.pcrs[0] = Bytes(48, 1);
    document.certificate = leaf.certificate.der();
    document.cabundle = {root_.certificate.der(), middle_.certificate.der()};
    return document;
  }
  Result<Document> verified(const Document& document, const crypto::PrivateKey& key,
                            sys::UnixMillis at = kNow) const {
    return verify(sign_document(document, key).value(), root_.certificate, at);
  }
  void expect_denied(const Result<Document>& result) const {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().kind(), ErrorKind::denied) << result.error().message();
  }
  Pair root_ = issue(nullptr, true);
  Pair middle_ = issue(&root_, true);
  Pair leaf_ = issue(&middle_, false);
};

TEST_F(OwnChain, Verifies) {
  auto document = verified(document_for(leaf_), leaf_.key);
  ASSERT_TRUE(document.has_value()) << document.error().message();
  EXPECT_EQ(document->pcrs.at(0), Bytes(48, 1));
  EXPECT_FALSE(document->public_key.has_value());
}

TEST_F(OwnChain, RefusesTheAwsRoot) {
  auto bytes = sign_document(document_for(leaf_), leaf_.key).value();
  expect_denied(verify(bytes, aws_nitro_root(), kNow));
}

TEST_F(OwnChain, RefusesAnotherTime) {
  expect_denied(verified(document_for(leaf_), leaf_.key, kNow + 2 * kHour));
  expect_denied(verified(document_for(leaf_), leaf_.key, kNow - 2 * kHour));
}

TEST_F(OwnChain, RefusesALeafThatIsNotP384) {
  auto leaf = issue(&middle_, false, crypto::KeyType::p256);
  auto document = document_for(leaf);
  EXPECT_FALSE(sign_document(document, leaf.key).has_value());
  // 96 bytes of signature, as the parser wants.
  expect_denied(verified(document, leaf_.key));
}

TEST_F(OwnChain, RefusesAnotherSigner) {
  auto stranger = issue(&middle_, false);
  expect_denied(verified(document_for(leaf_), stranger.key));
}

TEST_F(OwnChain, RefusesALeafOfAnotherAuthority) {
  auto other_root = issue(nullptr, true);
  auto leaf = issue(&other_root, false);
  expect_denied(verified(document_for(leaf), leaf.key));
}

TEST_F(OwnChain, RefusesABundleOfOtherCertificates) {
  auto document = document_for(leaf_);
  auto stranger = issue(nullptr, true);
  auto spoil = [&](std::vector<Bytes> bundle) {
    document.cabundle = std::move(bundle);
    expect_denied(verified(document, leaf_.key));
  };
  auto root = root_.certificate.der();
  auto middle = middle_.certificate.der();
  spoil({root});
  spoil({middle});
  spoil({middle, root});
  spoil({root, middle, middle});
  spoil({root, stranger.certificate.der(), middle});
  spoil({root, Bytes(100, 0x30)});
  spoil({stranger.certificate.der(), root, middle});
}

TEST_F(OwnChain, RefusesAnIssuerThatIsNoAuthority) {
  auto below_leaf = issue(&leaf_, false);
  auto document = document_for(below_leaf);
  document.cabundle.push_back(leaf_.certificate.der());
  expect_denied(verified(document, below_leaf.key));
}

TEST_F(OwnChain, RefusesACertificateThatIsNotDer) {
  auto document = document_for(leaf_);
  document.certificate = Bytes(100, 0x30);
  expect_denied(verified(document, leaf_.key));
  document.certificate = leaf_.certificate.der();
  document.certificate.push_back(0);
  expect_denied(verified(document, leaf_.key));
}

}  // namespace
}  // namespace cloister::attestation
