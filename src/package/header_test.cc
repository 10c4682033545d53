#include "package/header.h"

#include "codec/cbor.h"
#include "package/keys.h"
#include "package/start.h"
#include "package/test_support.h"

namespace cloister::package {
namespace {

using test::must;
using test::why;

Header example() {
  Header header;
  header.name = "hello";
  header.release = "1.0";
  header.key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  header.wrapped_keys = {Bytes(20, 7)};
  header.extra_context = {{"project", "blue"}};
  header.commitment = Sha256{9};
  must(header.sign(test::fixed_signer(1)));
  return header;
}

TEST(HeaderTest, ComesBackAsItWasAndVerifies) {
  auto header = example();
  auto parsed = must(Header::parse(header.encode()));
  ASSERT_OK(parsed.verify_signature());
  EXPECT_EQ(parsed.encode(), header.encode());
  EXPECT_EQ(parsed.identity(), header.identity());
  EXPECT_EQ(parsed.encryption_context(), header.encryption_context());
}

TEST(HeaderTest, FingerprintIsThatOfTheKey) {
  EXPECT_EQ(example().signer_fingerprint(), test::fixed_signer(1).public_key().fingerprint());
}

TEST(HeaderTest, ContextSaysWhoAndWhat) {
  auto header = example();
  EncryptionContext expected{{"cloister:signer", to_hex(header.signer_fingerprint())},
                             {"cloister:name", "hello"},
                             {"cloister:release", "1.0"},
                             {"cloister:manifest", "none"},
                             {"project", "blue"}};
  EXPECT_EQ(header.encryption_context(), expected);
  header.manifest_digest = Sha256{0xab};
  EXPECT_EQ(header.encryption_context()["cloister:manifest"], "ab" + std::string(62, '0'));
}

TEST(HeaderTest, EveryFlippedBitIsRefused) {
  auto prefix = encode_prefix(example());
  for (std::size_t bit = 0; bit < prefix.size() * 8; ++bit) {
    auto flipped = prefix;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    auto parsed = parse_prefix(flipped);
    EXPECT_FALSE(parsed && parsed->verify_signature()) << "bit " << bit;
  }
}

TEST(HeaderTest, EveryTruncationAndTrailingByteIsRefused) {
  auto encoded = example().encode();
  for (std::size_t size = 0; size < encoded.size(); ++size)
    EXPECT_FALSE(Header::parse(ByteView(encoded).first(size)));
  encoded.push_back(0);
  EXPECT_FALSE(Header::parse(encoded));
}

TEST(HeaderTest, AnotherSignerIsAnotherIdentity) {
  auto header = example();
  auto forged = header;
  ASSERT_OK(forged.sign(test::fixed_signer(2)));
  ASSERT_OK(forged.verify_signature());
  EXPECT_NE(forged.identity(), header.identity());
  EXPECT_NE(forged.encryption_context(), header.encryption_context());
  // The old signature does not hold under the new key, nor the other way round.
  std::swap(forged.signature, header.signature);
  EXPECT_FALSE(forged.verify_signature());
  EXPECT_FALSE(header.verify_signature());
}

TEST(HeaderTest, OnlyEd25519Signs) {
  auto header = example();
  auto key = must(crypto::PrivateKey::generate(crypto::KeyType::p256));
  EXPECT_FALSE(header.sign(key));
}

// A change that check() refuses, and parse() too although the signature is good.
class HeaderRefusal : public testing::TestWithParam<std::pair<const char*, void (*)(Header&)>> {};

TEST_P(HeaderRefusal, ByCheckAndParse) {
  auto header = example();
  GetParam().second(header);
  ASSERT_OK(header.sign(test::fixed_signer(1)));
  EXPECT_FALSE(header.check());
  EXPECT_FALSE(Header::parse(header.encode()));
}

INSTANTIATE_TEST_SUITE_P(
    All, HeaderRefusal,
    testing::Values(
        std::pair(
            "no name", +[](Header& h) { h.name = ""; }),
        std::pair(
            "long name", +[](Header& h) { h.name = std::string(65, 'a'); }),
        std::pair(
            "name with a slash", +[](Header& h) { h.name = "a/b"; }),
        std::pair(
            "name with a newline", +[](Header& h) { h.name = "a\n"; }),
        std::pair(
            "release with a space", +[](Header& h) { h.release = "1 0"; }),
        std::pair(
            "alias", +[](Header& h) { h.key_arn = "arn:aws:kms:eu-central-1:111122223333:alias/mine"; }),
        std::pair(
            "bare key id", +[](Header& h) { h.key_arn = "1234abcd-12ab-34cd-56ef-1234567890ab"; }),
        std::pair(
            "ARN of another service",
            +[](Header& h) { h.key_arn = "arn:aws:s3:eu-central-1:111122223333:key/1"; }),
        std::pair(
            "ARN with a short account",
            +[](Header& h) { h.key_arn = "arn:aws:kms:eu-central-1:1111:key/1"; }),
        std::pair(
            "ARN without a region", +[](Header& h) { h.key_arn = "arn:aws:kms::111122223333:key/1"; }),
        std::pair(
            "ARN that goes on", +[](Header& h) { h.key_arn += "/../x"; }),
        std::pair(
            "region that is a host",
            +[](Header& h) { h.key_arn = "arn:aws:kms:evil.example/:111122223333:key/1"; }),
        std::pair(
            "no wrapped key", +[](Header& h) { h.wrapped_keys.clear(); }),
        std::pair(
            "five wrapped keys", +[](Header& h) { h.wrapped_keys.assign(5, Bytes(1)); }),
        std::pair(
            "empty wrapped key", +[](Header& h) { h.wrapped_keys[0].clear(); }),
        std::pair(
            "long wrapped key", +[](Header& h) { h.wrapped_keys[0].resize(kMaxWrappedKey + 1); }),
        std::pair(
            "reserved context", +[](Header& h) { h.extra_context = {{"cloister:application", "x"}}; }),
        std::pair(
            "reserved context in capitals", +[](Header& h) { h.extra_context = {{"Cloister:Signer", "x"}}; }),
        std::pair(
            "context keys that differ in case",
            +[](Header& h) { h.extra_context = {{"a", "x"}, {"A", "y"}}; }),
        std::pair(
            "nine context entries",
            +[](Header& h) {
              for (char c = 'a'; c < 'j'; ++c) h.extra_context[std::string(1, c)] = "x";
            }),
        std::pair(
            "empty context key", +[](Header& h) { h.extra_context = {{"", "x"}}; }),
        std::pair(
            "long context value", +[](Header& h) { h.extra_context = {{"a", std::string(513, 'x')}}; }),
        std::pair(
            "context with a control character", +[](Header& h) { h.extra_context = {{"a", "\x1b[2J"}}; }),
        std::pair(
            "terms without a manifest",
            +[](Header& h) { h.public_manifest.terms.stderr_to = Audience::caller; })));

TEST(HeaderTest, ArnsOfEveryPartitionPass) {
  for (auto arn : {"arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
                   "arn:aws-cn:kms:cn-north-1:111122223333:key/1",
                   "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1"}) {
    ASSERT_OK(check_key_arn(arn));
  }
}

// Replaces the context map inside an encoded and signed header: the fields stay, the map says something else.
TEST(HeaderTest, ContextThatContradictsTheFieldsIsRefused) {
  auto encoded = example().encode();
  auto text = std::string(as_text(encoded));
  auto at = text.find("cloister:name");
  ASSERT_NE(at, std::string::npos);
  at = text.find("hello", at);
  text.replace(at, 5, "world");
  auto parsed = Header::parse(as_bytes(text));
  ASSERT_FALSE(parsed);
  EXPECT_NE(why(parsed).find("contradicts"), std::string::npos) << why(parsed);
}

TEST(HeaderTest, UnknownKeysAndVersionsAreRefused) {
  auto encoded = example().encode();
  ASSERT_EQ(encoded[0], 0xab);  // eleven entries
  auto longer = encoded;
  longer[0] = 0xac;
  codec::CborWriter extra;
  extra.text("zzzzzzzzzzzz").null();
  append(longer, extra.view());
  EXPECT_FALSE(Header::parse(longer));

  ASSERT_EQ(encoded[1], 0x61);  // "v"
  ASSERT_EQ(encoded[3], 1);
  encoded[3] = 2;
  auto parsed = Header::parse(encoded);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind(), ErrorKind::invalid);
}

TEST(HeaderTest, SignatureIsOfThisFormatOnly) {
  auto header = example();
  auto bytes = header.signed_bytes();
  EXPECT_TRUE(as_text(bytes).starts_with(std::string("cloister/package/v1") + '\0'));
  // A signature over the same map in another domain does not pass.
  bytes[0] ^= 1;
  auto other = must(test::fixed_signer(1).sign(bytes));
  std::ranges::copy(other, header.signature.begin());
  EXPECT_FALSE(header.verify_signature());
}

TEST(StartTest, ReadsUpToTheFirstSegmentAndNoFurther) {
  auto prefix = encode_prefix(example());
  auto stream_header = make_stream_header();
  auto file = prefix;
  append(file, stream_header);
  append(file, as_bytes("segment"));
  auto fd = test::memory_file(file);
  auto start = must(read_start(fd.get()));
  EXPECT_EQ(start.prefix, prefix);
  EXPECT_EQ(start.stream_header, stream_header);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), static_cast<off_t>(file.size() - 7));
}

TEST(StartTest, EveryTruncationIsRefused) {
  auto file = encode_prefix(example());
  append(file, make_stream_header());
  for (std::size_t size = 0; size < file.size(); ++size) {
    auto fd = test::memory_file(ByteView(file).first(size));
    EXPECT_FALSE(read_start(fd.get())) << size;
  }
}

TEST(StartTest, LengthIsBoundedBeforeAnythingIsRead) {
  for (std::uint32_t length : {0U, 65537U, 0xffffffffU}) {
    Writer out;
    out.bytes(kMagic).u32(length).bytes(Bytes(70000));
    auto fd = test::memory_file(out.view());
    EXPECT_FALSE(read_start(fd.get()));
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), static_cast<off_t>(kPrefixFixed));
  }
}

TEST(StartTest, OtherFilesAreNoPackages) {
  for (std::string_view text : {"", "PK\x03\x04 a zip archive",
                                "\x8c"
                                "CLSTR\n\n\0\0\0\x01 mangled line ends"}) {
    auto fd = test::memory_file(as_bytes(text));
    auto start = read_start(fd.get());
    ASSERT_FALSE(start);
    EXPECT_EQ(start.error().kind(), ErrorKind::corrupt);
  }
}

}  // namespace
}  // namespace cloister::package
