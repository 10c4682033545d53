#include <algorithm>

#include "package/keys.h"
#include "package/stream_reader.h"
#include "package/stream_writer.h"
#include "package/test_support.h"

namespace cloister::package {
namespace {

using test::counting;
using test::must;

const Bytes kAssociated = to_bytes("associated");

StreamKey stream_key(ByteView associated = kAssociated) {
  Bytes stream_header{kStreamHeaderSize};
  append(stream_header, counting(39, 100));
  return must(derive_stream_key(Secret(counting(32, 0)), associated, stream_header));
}

Bytes encrypt(ByteView plaintext, std::size_t piece = 1 << 20) {
  Bytes out;
  auto key = stream_key();
  SegmentWriter writer(key, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  });
  for (; !plaintext.empty(); plaintext = plaintext.subspan(std::min(piece, plaintext.size()))) {
    must(writer.write(plaintext.first(std::min(piece, plaintext.size()))));
  }
  must(writer.finish());
  return out;
}

Result<Bytes> decrypt(ByteView ciphertext, const StreamKey& key) {
  auto fd = test::memory_file(ciphertext);
  Bytes out;
  TRY(decrypt_segments(fd.get(), key, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  }));
  return out;
}
Result<Bytes> decrypt(ByteView ciphertext) {
  return decrypt(ciphertext, stream_key());
}

Bytes noise(std::size_t size) {
  Bytes out(size);
  std::uint32_t state = 1;
  for (auto& byte : out) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return out;
}

// Start and size of every segment of a ciphertext.
std::vector<ByteView> segments_of(ByteView ciphertext) {
  std::vector<ByteView> out;
  for (auto size = kFirstSegmentSize; !ciphertext.empty(); size = kSegmentSize) {
    out.push_back(ciphertext.first(std::min(size, ciphertext.size())));
    ciphertext = ciphertext.subspan(out.back().size());
  }
  return out;
}
Bytes join(const std::vector<ByteView>& segments) {
  Bytes out;
  for (auto segment : segments) append(out, segment);
  return out;
}

class StreamSizes : public testing::TestWithParam<std::pair<std::size_t, std::size_t>> {
};  // plaintext, segments

TEST_P(StreamSizes, ComeBackInTheExpectedNumberOfSegments) {
  auto [size, count] = GetParam();
  auto plaintext = noise(size);
  auto ciphertext = encrypt(plaintext, 100'003);
  EXPECT_EQ(ciphertext.size(), size + count * crypto::kGcmTagSize);
  EXPECT_EQ(segments_of(ciphertext).size(), count);
  EXPECT_TRUE(must(decrypt(ciphertext)) == plaintext);
}

INSTANTIATE_TEST_SUITE_P(Edges, StreamSizes,
                         testing::Values(std::pair(0, 1), std::pair(1, 1),
                                         std::pair(kFirstSegmentPlaintext - 1, 1),
                                         std::pair(kFirstSegmentPlaintext, 1),
                                         std::pair(kFirstSegmentPlaintext + 1, 2),
                                         std::pair(kFirstSegmentPlaintext + kSegmentPlaintext, 2),
                                         std::pair(kFirstSegmentPlaintext + kSegmentPlaintext + 1, 3)));

TEST(StreamTest, PiecesDoNotMatter) {
  auto plaintext = noise(1'100'000);
  EXPECT_TRUE(encrypt(plaintext, 4097) == encrypt(plaintext, plaintext.size()));
}

TEST(StreamTest, NonceIsPrefixCounterAndFlag) {
  ByteArray<7> prefix{1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(to_hex(segment_nonce(prefix, 0x01020304, false)), "010203040506070102030400");
  EXPECT_EQ(to_hex(segment_nonce(prefix, 0xffffffff, true)), "01020304050607ffffffff01");
}

TEST(StreamTest, EveryFlippedBitIsRefused) {
  auto ciphertext = encrypt(noise(40));
  for (std::size_t bit = 0; bit < ciphertext.size() * 8; ++bit) {
    auto flipped = ciphertext;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    auto opened = decrypt(flipped);
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_EQ(opened.error().kind(), ErrorKind::corrupt);
  }
}

TEST(StreamTest, EveryTruncationOfAShortContentIsRefused) {
  auto ciphertext = encrypt(noise(40));
  for (std::size_t size = 0; size < ciphertext.size(); ++size)
    EXPECT_FALSE(decrypt(ByteView(ciphertext).first(size)));
  ciphertext.push_back(0);
  EXPECT_FALSE(decrypt(ciphertext));
}

// Three segments, the last of ten bytes.
class SegmentOrder : public testing::Test {
 protected:
  const Bytes ciphertext_ = encrypt(noise(kFirstSegmentPlaintext + kSegmentPlaintext + 10));
  const std::vector<ByteView> segments_ = segments_of(ciphertext_);
};

TEST_F(SegmentOrder, TruncationBetweenSegmentsIsRefused) {
  ASSERT_EQ(segments_.size(), 3U);
  EXPECT_TRUE(decrypt(join({segments_[0], segments_[1], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[0], segments_[1]})));
  EXPECT_FALSE(decrypt(join({segments_[0]})));
  EXPECT_FALSE(decrypt({}));
}

TEST_F(SegmentOrder, TruncationInsideSegmentsIsRefused) {
  for (std::size_t cut :
       {std::size_t{1}, std::size_t{9}, std::size_t{10}, std::size_t{25}, std::size_t{27}, kSegmentSize}) {
    EXPECT_FALSE(decrypt(ByteView(ciphertext_).first(ciphertext_.size() - cut))) << cut;
  }
}

TEST_F(SegmentOrder, SwappedDoubledAndLeftOutSegmentsAreRefused) {
  EXPECT_FALSE(decrypt(join({segments_[1], segments_[0], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[0], segments_[2], segments_[1]})));
  EXPECT_FALSE(decrypt(join({segments_[0], segments_[1], segments_[1], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[0], segments_[1], segments_[2], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[0], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[1], segments_[2]})));
  EXPECT_FALSE(decrypt(join({segments_[2]})));
}

TEST_F(SegmentOrder, NothingOfADamagedSegmentIsPassedOn) {
  auto damaged = ciphertext_;
  damaged[kFirstSegmentSize + 5] ^= 1;
  auto fd = test::memory_file(damaged);
  std::size_t passed = 0;
  auto key = stream_key();
  auto result = decrypt_segments(fd.get(), key, [&](ByteView bytes) {
    passed += bytes.size();
    return Status{};
  });
  EXPECT_FALSE(result);
  EXPECT_EQ(passed, kFirstSegmentPlaintext);
}

// A writer never ends on an empty segment after a full one; who knows the key could make it, as a second
// encoding.
TEST(StreamTest, EmptyLastSegmentAfterOthersIsRefused) {
  auto key = stream_key();
  crypto::AesGcm aead(key.key);
  Bytes ciphertext(kFirstSegmentSize);
  aead.seal(segment_nonce(key.nonce_prefix, 0, false), {}, Bytes(kFirstSegmentPlaintext), ciphertext);
  Bytes last(crypto::kGcmTagSize);
  aead.seal(segment_nonce(key.nonce_prefix, 1, true), {}, {}, last);
  append(ciphertext, last);
  EXPECT_FALSE(decrypt(ciphertext));
}

TEST(StreamTest, AFailingSinkStopsBothDirections) {
  auto key = stream_key();
  auto refuse = [](ByteView) -> Status { return fail(ErrorKind::exhausted, "full"); };
  SegmentWriter writer(key, refuse);
  auto status = writer.finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(), "full");
  auto fd = test::memory_file(encrypt(noise(3)));
  auto read = decrypt_segments(fd.get(), key, refuse);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(), "full");
}

TEST(KeysTest, AnotherKeyHeaderOrAssociatedDataOpensNothing) {
  auto ciphertext = encrypt(noise(10));
  EXPECT_FALSE(decrypt(ciphertext, stream_key(as_bytes("associateD"))));
  Bytes stream_header{kStreamHeaderSize};
  append(stream_header, counting(39, 100));
  auto other_key = must(derive_stream_key(Secret(counting(32, 1)), kAssociated, stream_header));
  EXPECT_FALSE(decrypt(ciphertext, other_key));
  for (std::size_t at = 1; at < kStreamHeaderSize; ++at) {
    auto other = stream_header;
    other[at] ^= 1;
    EXPECT_FALSE(decrypt(ciphertext, must(derive_stream_key(Secret(counting(32, 0)), kAssociated, other))))
        << at;
  }
}

TEST(KeysTest, StreamHeadersOfOtherKindsAreRefused) {
  Secret key(counting(32, 0));
  Bytes good(kStreamHeaderSize);
  good[0] = kStreamHeaderSize;
  EXPECT_TRUE(derive_stream_key(key, {}, good));
  auto wrong = good;
  wrong[0] = 24;  // Tink's AES128 kind
  EXPECT_FALSE(derive_stream_key(key, {}, wrong));
  EXPECT_FALSE(derive_stream_key(key, {}, ByteView(good).first(39)));
  EXPECT_FALSE(derive_stream_key(key, {}, {}));
  for (std::size_t size : {0, 16, 31, 33}) {
    EXPECT_FALSE(derive_stream_key(Secret(size), {}, good)) << size;
    EXPECT_FALSE(commit_to(Secret(size))) << size;
  }
}

TEST(KeysTest, CommitmentHoldsForOneKeyOnly) {
  Header header;
  header.commitment = must(commit_to(Secret(counting(32, 0))));
  ASSERT_OK(check_commitment(Secret(counting(32, 0)), header));
  for (std::size_t bit = 0; bit < 256; ++bit) {
    auto key = counting(32, 0);
    key[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(check_commitment(Secret(ByteView(key)), header));
  }
}

TEST(KeysTest, StreamHeadersAreFresh) {
  auto one = make_stream_header();
  auto two = make_stream_header();
  EXPECT_EQ(one[0], 40);
  EXPECT_NE(one, two);
}

}  // namespace
}  // namespace cloister::package
