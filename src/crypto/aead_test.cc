#include "crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/digest.h"

namespace cloister::crypto {
namespace {

Bytes unhex(std::string_view text) {
  return *from_hex(text);
}

// Test case 16 of the GCM submission to NIST.
struct KnownAnswer {
  Secret key{unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")};
  Bytes nonce = unhex("cafebabefacedbaddecaf888");
  Bytes associated = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  Bytes plaintext = unhex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed"
      "f5aa0d"
      "e657ba637b39");
  Bytes sealed = unhex(
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e"
      "6393ba"
      "7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
};

Status open(AesGcm& gcm, ByteView nonce, ByteView associated, ByteView sealed, Bytes& out) {
  out.assign(sealed.size() - kGcmTagSize, 0xaa);
  return gcm.open(nonce, associated, sealed, out);
}

TEST(AesGcm, KnownAnswer) {
  KnownAnswer known;
  AesGcm gcm(known.key);
  Bytes sealed(known.sealed.size());
  gcm.seal(known.nonce, known.associated, known.plaintext, sealed);
  EXPECT_EQ(to_hex(sealed), to_hex(known.sealed));
  Bytes out;
  ASSERT_TRUE(open(gcm, known.nonce, known.associated, known.sealed, out));
  EXPECT_EQ(out, known.plaintext);
}

TEST(AesGcm, EveryFlippedBitIsRefusedAndNothingLeaks) {
  KnownAnswer known;
  AesGcm gcm(known.key);
  for (std::size_t bit = 0; bit < known.sealed.size() * 8; ++bit) {
    Bytes bad = known.sealed;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ 1u << bit % 8);
    Bytes out;
    auto opened = open(gcm, known.nonce, known.associated, bad, out);
    ASSERT_FALSE(opened) << bit;
    EXPECT_EQ(opened.error().kind(), ErrorKind::corrupt);
    ASSERT_TRUE(std::ranges::all_of(out, [](auto byte) { return byte == 0; }));
  }
}

TEST(AesGcm, RefusesOtherNonceAssociatedDataKeyAndLength) {
  KnownAnswer known;
  AesGcm gcm(known.key);
  Bytes out;
  auto nonce = known.nonce;
  nonce[11] ^= 1;
  EXPECT_FALSE(open(gcm, nonce, known.associated, known.sealed, out));
  EXPECT_FALSE(open(gcm, known.nonce, ByteView(known.associated).first(19), known.sealed, out));
  EXPECT_FALSE(open(gcm, known.nonce, {}, known.sealed, out));
  AesGcm other(random_secret(kGcmKeySize));
  EXPECT_FALSE(open(other, known.nonce, known.associated, known.sealed, out));
  for (std::size_t size = kGcmTagSize; size < known.sealed.size(); ++size) {
    EXPECT_FALSE(open(gcm, known.nonce, known.associated, ByteView(known.sealed).first(size), out)) << size;
  }
  EXPECT_EQ(gcm.open(known.nonce, {}, ByteView(known.sealed).first(15), {}).error().kind(),
            ErrorKind::corrupt);
}

TEST(AesGcm, ManyMessagesBothWays) {
  AesGcm gcm(random_secret(kGcmKeySize));
  AesGcm moved = std::move(gcm);
  for (std::size_t size : {0, 1, 15, 16, 17, 4096, 1 << 20}) {
    auto nonce = random_bytes(kGcmNonceSize);
    auto plaintext = random_bytes(size);
    Bytes sealed(size + kGcmTagSize);
    moved.seal(nonce, as_bytes("header"), plaintext, sealed);
    Bytes out;
    EXPECT_FALSE(open(moved, nonce, as_bytes("Header"), sealed, out));
    ASSERT_TRUE(open(moved, nonce, as_bytes("header"), sealed, out)) << size;
    EXPECT_EQ(out, plaintext);
  }
}

TEST(AesGcmDeath, WrongSizesAreDefects) {
  EXPECT_DEATH(AesGcm(Secret(16)), "wrong size");
  AesGcm gcm(random_secret(kGcmKeySize));
  Bytes out(20);
  EXPECT_DEATH(gcm.seal(Bytes(12), {}, Bytes(5), out), "wrong sizes");
  EXPECT_DEATH(gcm.seal(Bytes(11), {}, Bytes(4), out), "wrong sizes");
}

}  // namespace
}  // namespace cloister::crypto
