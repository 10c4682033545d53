#include "crypto/cms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/cms.h>
#include <openssl/evp.h>

#include <algorithm>
#include <functional>

#include "crypto/ber.h"
#include "crypto/handles.h"
#include "sys/file.h"

namespace cloister::crypto {
namespace {

using ::testing::HasSubstr;

Bytes real(int which) {
  return *sys::read_file(CLOISTER_TEST_DATA "/kms/enveloped-data-" + std::to_string(which) + ".ber",
                         kMaxEnvelope);
}

// expected.json is read by hand: this room has no JSON, and the file is one key and value a line.
Bytes expected(int which, const std::string& field) {
  auto text = *sys::read_file(CLOISTER_TEST_DATA "/kms/expected.json", 64 * 1024);
  auto all = std::string(as_text(text));
  auto at = all.find("\"" + field + "\": \"", all.find("enveloped-data-" + std::to_string(which)));
  at += field.size() + 5;
  return *from_hex(std::string_view(all).substr(at, all.find('"', at) - at));
}

const PrivateKey& recipient() {
  static const PrivateKey kKey = *PrivateKey::generate(KeyType::rsa2048);
  return kKey;
}

void expect_corrupt(ByteView ber, std::string_view what) {
  auto parsed = EnvelopedData::parse(ber);
  ASSERT_FALSE(parsed) << what;
  ASSERT_EQ(parsed.error().kind(), ErrorKind::corrupt) << what;
}

// `bytes` with the one occurrence of `from` replaced.
Bytes replaced(ByteView bytes, ByteView from, ByteView to) {
  auto hit = std::search(bytes.begin(), bytes.end(), from.begin(), from.end());
  EXPECT_NE(hit, bytes.end());
  Bytes out(bytes.begin(), hit);
  append(out, to);
  out.insert(out.end(), hit + static_cast<std::ptrdiff_t>(from.size()), bytes.end());
  return out;
}

Bytes hex(std::string_view text) {
  return *from_hex(text);
}

TEST(EnvelopedData, RealAnswersOfKms) {
  for (int which : {1, 2}) {
    auto parsed = EnvelopedData::parse(real(which));
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(to_hex(parsed->encrypted_key), to_hex(expected(which, "encrypted_key")));
    EXPECT_EQ(to_hex(parsed->iv), to_hex(expected(which, "iv")));
    EXPECT_EQ(to_hex(parsed->encrypted_content), to_hex(expected(which, "ciphertext")));
    EXPECT_EQ(parsed->recipient_key_id.size(), 32u);
  }
  EXPECT_EQ(to_hex(EnvelopedData::parse(real(1))->recipient_key_id),
            "7087b55df94ba3255cdf3c01840a2aa3ec93620625d601cf56f97bde7a3d2eb1");
}

TEST(EnvelopedData, EveryTruncationAndTrailingBytes) {
  for (int which : {1, 2}) {
    auto ber = real(which);
    for (std::size_t size = 0; size < ber.size(); ++size)
      expect_corrupt(ByteView(ber).first(size), "truncated");
    auto longer = ber;
    longer.push_back(0);
    expect_corrupt(longer, "trailing byte");
    append(longer, Bytes{0});
    expect_corrupt(longer, "trailing end of contents");
    append(ber, ber);
    expect_corrupt(ber, "two envelopes");
  }
  expect_corrupt(Bytes(kMaxEnvelope + 1, 0x30), "too long");
}

// Outside of the values that the envelope is there to carry, no byte can be any other.
TEST(EnvelopedData, EveryChangedByteOfTheFrame) {
  for (int which : {1, 2}) {
    const auto ber = real(which);
    const auto parsed = *EnvelopedData::parse(ber);
    std::vector<bool> carried(ber.size());
    for (ByteView value : {ByteView(parsed.recipient_key_id), ByteView(parsed.encrypted_key),
                           ByteView(parsed.iv), ByteView(parsed.encrypted_content)}) {
      auto at = std::search(ber.begin(), ber.end(), value.begin(), value.end()) - ber.begin();
      std::fill_n(carried.begin() + at, value.size(), true);
    }
    for (std::size_t at = 0; at < ber.size(); ++at) {
      if (carried[at]) continue;
      for (int bit = 0; bit < 8; ++bit) {
        auto bad = ber;
        bad[at] = static_cast<std::uint8_t>(bad[at] ^ 1 << bit);
        expect_corrupt(bad, fmt::format("file {}, byte {}, bit {}", which, at, bit));
      }
    }
  }
}

TEST(EnvelopedData, OtherAlgorithms) {
  const auto ber = real(1);
  auto with = [&](std::string_view from, std::string_view to) {
    expect_corrupt(replaced(ber, hex(from), hex(to)), to);
  };
  with("06092a864886f70d010703", "06092a864886f70d010702");  // signedData
  with("06092a864886f70d010107", "06092a864886f70d010101");  // rsaEncryption: PKCS#1 v1.5
  with("060960864801650304012a", "060960864801650304012e");  // aes256-GCM
  with("060960864801650304012a", "0609608648016503040102");  // aes128-CBC
  with("06092a864886f70d010701", "06092a864886f70d010702");  // content is no data
  with("a00f300d06096086480165030402010500", "a00f300d06096086480165030402020500");      // OAEP with SHA-384
  with("300d06096086480165030402010500048201", "300d06096086480165030402030500048201");  // MGF1 with SHA-512
}

// A copy of file 1 with its recipient SET taken apart and rebuilt.
Bytes with_recipients(const std::function<Bytes(const Bytes& set)>& rebuild) {
  const auto ber = real(1);
  constexpr std::size_t kSetAt = 20;
  constexpr std::size_t kSetSize = 4 + 363;
  Bytes set(ber.begin() + kSetAt, ber.begin() + kSetAt + kSetSize);
  Bytes out(ber.begin(), ber.begin() + kSetAt);
  append(out, rebuild(set));
  append(out, ByteView(ber).subspan(kSetAt + kSetSize));
  return out;
}

TEST(EnvelopedData, OneRecipientExactly) {
  EXPECT_TRUE(EnvelopedData::parse(with_recipients([](const Bytes& set) { return set; })));
  auto info = [](const Bytes& set) { return ByteView(set).subspan(4); };
  expect_corrupt(with_recipients([&](const Bytes& set) {
                   Bytes out{0x31, 0x82, 0x02, 0xd6};  // 2 * 363
                   append(out, info(set));
                   append(out, info(set));
                   return out;
                 }),
                 "second recipient");
  expect_corrupt(with_recipients([&](const Bytes& set) {
                   Bytes out{0x31, 0x80};
                   append(out, info(set));
                   append(out, info(set));
                   append(out, Bytes{0, 0});
                   return out;
                 }),
                 "second recipient, indefinite length");
  expect_corrupt(with_recipients([](const Bytes&) { return Bytes{0x31, 0x00}; }), "no recipient");
  expect_corrupt(with_recipients([](const Bytes&) { return Bytes{}; }), "no recipients");
  expect_corrupt(with_recipients([](const Bytes& set) {
                   Bytes out = set;
                   append(out, set);
                   return out;
                 }),
                 "second set");
}

TEST(EnvelopedData, DefiniteAndIndefiniteLengthsAreEqual) {
  auto indefinite = with_recipients([](const Bytes& set) {
    Bytes out{0x31, 0x80, 0x30, 0x80};
    append(out, ByteView(set).subspan(8));
    append(out, Bytes{0, 0, 0, 0});
    return out;
  });
  auto parsed = EnvelopedData::parse(indefinite);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->encrypted_key, expected(1, "encrypted_key"));
}

TEST(EnvelopedData, ContentInChunks) {
  const auto ber = real(1);
  const auto content = expected(1, "ciphertext");
  auto in_chunks = [&](std::initializer_list<std::size_t> sizes) {
    Bytes chunks;
    std::size_t at = 0;
    for (auto size : sizes) {
      append(chunks, Bytes{0x04, static_cast<std::uint8_t>(size)});
      append(chunks, ByteView(content).subspan(at, size));
      at += size;
    }
    Bytes whole{0x04, 0x30};
    append(whole, content);
    return replaced(ber, whole, chunks);
  };
  for (auto sizes : {std::initializer_list<std::size_t>{48}, {16, 32}, {1, 15, 31, 1}, {0, 48, 0}}) {
    auto parsed = EnvelopedData::parse(in_chunks(sizes));
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(parsed->encrypted_content, content);
  }
  expect_corrupt(in_chunks({}), "no content");
  expect_corrupt(in_chunks({47}), "content is no multiple of a block");
  Bytes whole{0x04, 0x30};
  append(whole, content);
  Bytes nested{0x24, 0x32};
  append(nested, whole);
  expect_corrupt(replaced(ber, whole, nested), "chunk of chunks");
}

TEST(EnvelopedData, UnprotectedAttributesAndOriginator) {
  auto ber = real(2);
  auto tail = Bytes{0xa1, 0x00, 0, 0, 0, 0, 0, 0};  // [1] attributes, before the last three ends
  auto with_attributes = Bytes(ber.begin(), ber.end() - 6);
  append(with_attributes, tail);
  expect_corrupt(with_attributes, "unprotected attributes");
  expect_corrupt(replaced(ber, Bytes{0x02, 0x01, 0x02, 0x31}, Bytes{0x02, 0x01, 0x02, 0xa0, 0x00, 0x31}),
                 "originator");
}

TEST(BerReader, LengthsOtherThanTheShortest) {
  for (auto text : {"0481017f", "04820001ff", "0482007f", "0483000001ff", "0484ffffffff", "04ff", "0480"}) {
    auto ber = hex(text);
    BerReader reader(ber);
    EXPECT_FALSE(reader.primitive(BerTag::octet_string)) << text;
  }
}

TEST(BerReader, ValuesEndWithinTheirParent) {
  auto ber = hex("30030402aabb");  // the octet string is longer than its sequence
  BerReader reader(ber);
  ASSERT_TRUE(reader.enter(BerTag::sequence));
  EXPECT_FALSE(reader.primitive(BerTag::octet_string));

  auto hollow = hex("30040401aa05");
  BerReader second(hollow);
  ASSERT_TRUE(second.enter(BerTag::sequence));
  ASSERT_TRUE(second.primitive(BerTag::octet_string));
  EXPECT_FALSE(second.leave());
}

TEST(BerReader, DepthIsBounded) {
  Bytes deep;
  for (int i = 0; i < 100; ++i) append(deep, Bytes{0x30, 0x80});
  BerReader reader(deep);
  for (std::size_t i = 0; i < BerReader::kMaxDepth; ++i) ASSERT_TRUE(reader.enter(BerTag::sequence));
  EXPECT_FALSE(reader.enter(BerTag::sequence));
}

TEST(Envelope, RoundTrip) {
  for (std::size_t size : {0, 1, 15, 16, 32, 4096}) {
    auto plaintext = random_bytes(size);
    auto sealed = seal_envelope(recipient().public_key(), plaintext);
    ASSERT_TRUE(sealed) << sealed.error().message();
    auto parsed = EnvelopedData::parse(*sealed);
    ASSERT_TRUE(parsed) << parsed.error().message();
    auto opened = open_envelope(*parsed, recipient());
    ASSERT_TRUE(opened);
    EXPECT_TRUE(std::ranges::equal(opened->view(), plaintext));
  }
  EXPECT_FALSE(seal_envelope(recipient().public_key(), Bytes(kMaxEnvelope)));
  EXPECT_FALSE(seal_envelope(PrivateKey::generate(KeyType::x25519)->public_key(), Bytes(32)));
}

// A 32-byte key takes exactly the bytes that KMS used, but for the values themselves.
TEST(Envelope, HasTheShapeOfKms) {
  auto blank = [](Bytes ber) {
    const auto parsed = *EnvelopedData::parse(ber);
    for (ByteView value : {ByteView(parsed.recipient_key_id), ByteView(parsed.encrypted_key),
                           ByteView(parsed.iv), ByteView(parsed.encrypted_content)}) {
      auto hit = std::search(ber.begin(), ber.end(), value.begin(), value.end());
      std::fill_n(hit, value.size(), std::uint8_t{0});
    }
    return to_hex(ber);
  };
  EXPECT_EQ(blank(*seal_envelope(recipient().public_key(), random_bytes(32))), blank(real(1)));
}

TEST(Envelope, NamesItsRecipientByTheKeysFingerprint) {
  auto parsed = EnvelopedData::parse(*seal_envelope(recipient().public_key(), random_bytes(32)));
  auto fingerprint = recipient().public_key().fingerprint();
  EXPECT_EQ(to_hex(parsed->recipient_key_id), to_hex(fingerprint));
}

TEST(Envelope, EveryFailureLooksTheSame) {
  const auto good = *EnvelopedData::parse(*seal_envelope(recipient().public_key(), random_bytes(32)));
  std::vector<Result<Secret>> failures;
  auto with = [&](const std::function<void(EnvelopedData&)>& change) {
    auto bad = good;
    change(bad);
    failures.push_back(open_envelope(bad, recipient()));
  };
  with([](auto& e) { e.encrypted_key[100] ^= 1; });
  with([](auto& e) { e.encrypted_key.assign(256, 0xff); });
  with([](auto& e) { e.encrypted_key.resize(255); });
  // CBC is not authenticated: a change inside a block garbles it, and one in 256 garbled blocks ends in a
  // valid padding. The package's commitment is what refuses the key then; this change alone is certain to
  // break the padding.
  with([](auto& e) { e.encrypted_content[31] ^= 0x1f; });  // the padding of the last block: 0x10 to 0x0f
  with([](auto& e) { e.encrypted_content.resize(40); });
  with([](auto& e) { e.encrypted_content.clear(); });
  with([](auto& e) { e.iv.resize(8); });
  with([](auto& e) { e.encrypted_key = *recipient().public_key().oaep_encrypt(random_bytes(16)); });
  failures.push_back(open_envelope(good, *PrivateKey::generate(KeyType::rsa2048)));
  failures.push_back(open_envelope(good, *PrivateKey::generate(KeyType::p256)));
  for (const auto& failure : failures) {
    ASSERT_FALSE(failure);
    EXPECT_EQ(failure.error().kind(), ErrorKind::corrupt);
    EXPECT_EQ(failure.error().message(), "the envelope does not open");
  }
  EXPECT_TRUE(open_envelope(good, recipient()));
}

// Somebody else's decoder reads what we make, and we read what it makes.
TEST(Envelope, OpenSslOpensOurs) {
  const auto plaintext = random_bytes(32);
  auto sealed = *seal_envelope(recipient().public_key(), plaintext);
  auto in = memory_reader(sealed);
  CMS_ContentInfo* cms = d2i_CMS_bio(in.get(), nullptr);
  ASSERT_NE(cms, nullptr);
  Handle<BIO> out(BIO_new(BIO_s_mem()));
  auto* key = static_cast<EVP_PKEY*>(recipient().handle());
  EXPECT_EQ(CMS_decrypt(cms, key, nullptr, nullptr, out.get(), 0), 1);
  CMS_ContentInfo_free(cms);
  std::uint8_t* data = nullptr;
  long size = BIO_get_mem_data(out.get(), &data);
  EXPECT_EQ(Bytes(data, data + size), plaintext);
}

}  // namespace
}  // namespace cloister::crypto
