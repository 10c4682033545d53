#include "crypto/digest.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>

#include "sys/fd.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::crypto {
namespace {

Bytes counting(std::uint8_t first, std::size_t size) {
  Bytes out(size);
  std::iota(out.begin(), out.end(), first);
  return out;
}

TEST(Digest, KnownAnswers) {  // FIPS 180-4 examples
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(
      to_hex(sha384(as_bytes("abc"))),
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
  Hasher sha512(Hash::sha512);
  sha512.update(as_bytes("abc"));
  EXPECT_EQ(
      to_hex(sha512.finish()),
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d44"
      "23643ce80e2a9ac94fa54ca49f");
}

TEST(Digest, PartsAreTheWhole) {
  const Bytes data = counting(0, 1000);
  for (std::size_t cut : {0, 1, 63, 64, 999, 1000}) {
    Hasher first(Hash::sha384);
    first.update(ByteView(data).first(cut));
    Hasher moved = std::move(first);
    moved.update(ByteView(data).subspan(cut));
    auto whole = sha384(data);
    EXPECT_EQ(moved.finish(), Bytes(whole.begin(), whole.end()));
  }
}

TEST(DigestDeath, FinishesOnce) {
  Hasher hasher(Hash::sha256);
  (void)hasher.finish();
  EXPECT_DEATH((void)hasher.finish(), "finished twice");
}

TEST(Digest, FileFromItsPosition) {
  auto pipe = *sys::make_pipe();
  ASSERT_EQ(::write(pipe.write.get(), "abc", 3), 3);
  pipe.write.reset();
  EXPECT_EQ(to_hex(*digest_file(Hash::sha256, pipe.read.get())), to_hex(sha256(as_bytes("abc"))));

  auto path = ::testing::TempDir() + "digest_file";
  ASSERT_TRUE(sys::write_file_atomic(path, Bytes(300'000, 'x')));
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::lseek(file.get(), 100'000, SEEK_SET), 100'000);
  EXPECT_EQ(to_hex(*digest_file(Hash::sha256, file.get())), to_hex(sha256(Bytes(200'000, 'x'))));
  ::unlink(path.c_str());
  EXPECT_FALSE(digest_file(Hash::sha256, -1));
}

TEST(Hmac, KnownAnswers) {  // RFC 4231 cases 1 and 2
  EXPECT_EQ(to_hex(hmac(Hash::sha256, Bytes(20, 0x0b), as_bytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(
      to_hex(hmac(Hash::sha384, as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
      "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649");
}

TEST(Hmac, EmptyKeyAndData) {
  EXPECT_EQ(
      to_hex(hmac(Hash::sha512, {}, {})),
      "b936cee86c9f87aa5d3c6f2e84cb5a4239a5fe50480a6ec66b70ab5b1f4ac6730c6c515421b327ec1d69402e53dfb49ad7381e"
      "b067b338fd7b0cb22247225d47");
}

TEST(Hkdf, KnownAnswers) {  // RFC 5869 appendix A
  EXPECT_EQ(to_hex(hkdf(Hash::sha256, Bytes(22, 0x0b), counting(0, 13), counting(0xf0, 10), 42).view()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      to_hex(hkdf(Hash::sha256, counting(0, 80), counting(0x60, 80), counting(0xb0, 80), 82).view()),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275"
      "600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(to_hex(hkdf(Hash::sha256, Bytes(22, 0x0b), {}, {}, 42).view()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Hkdf, LongestOutputOfEmptyInputs) {  // computed with Python's hmac module
  auto out = hkdf(Hash::sha384, {}, {}, Bytes(3000, 'x'), 255 * 48);
  EXPECT_EQ(to_hex(sha256(out.view())), "0f70ecce053fd01f652d8c349344fe70ab5e1ec30fd1941fd1b01d1203550d3a");
  EXPECT_EQ(hkdf(Hash::sha256, {}, {}, {}, 0).size(), 0u);
}

TEST(HkdfDeath, RefusesMoreThanItCanGive) {
  EXPECT_DEATH((void)hkdf(Hash::sha256, {}, {}, {}, 255 * 32 + 1), "too long");
}

TEST(Random, Differs) {
  EXPECT_NE(random_bytes(32), random_bytes(32));
  EXPECT_EQ(random_secret(48).size(), 48u);
  EXPECT_TRUE(random_bytes(0).empty());
}

// Whoever sets the environment must not choose our algorithms.
TEST(Configuration, OpenSslReadsNone) {
  constexpr const char* kChild = "CLOISTER_CRYPTO_TEST_CHILD";
  if (::getenv(kChild) != nullptr) ::_exit(to_hex(sha256(as_bytes("abc"))).starts_with("ba78") ? 0 : 1);

  auto path = ::testing::TempDir() + "hostile_openssl.cnf";
  ASSERT_TRUE(sys::write_file_atomic(path, as_bytes("openssl_conf = main\n[main]\nalg_section = algorithms\n"
                                                    "[algorithms]\ndefault_properties = provider=absent\n")));
  auto child = sys::fork_child([&] {
    ::setenv("OPENSSL_CONF", path.c_str(), 1);
    ::setenv(kChild, "1", 1);
    ::execl("/proc/self/exe", "crypto_test", "--gtest_filter=Configuration.OpenSslReadsNone", nullptr);
    return 2;
  });
  ASSERT_TRUE(child);
  auto ended = child->wait(sys::Deadline::after(sys::seconds(20)));
  ::unlink(path.c_str());
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->shell_code(), 0);
}

}  // namespace
}  // namespace cloister::crypto
