#include "crypto/cbc.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/hmac.h"

namespace cloister::crypto {
namespace {

// NIST SP 800-38A, F.2.2.
TEST(AesCbc, KnownAnswerWholeAndInPieces) {
  Secret key(from_hex("2b7e151628aed2a6abf7158809cf4f3c").value());
  auto iv = from_hex("000102030405060708090a0b0c0d0e0f").value();
  auto ciphertext = from_hex(
                        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
                        "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7")
                        .value();
  auto plaintext = from_hex(
                       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                       "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
                       .value();
  for (std::size_t piece : {std::size_t{16}, std::size_t{48}, std::size_t{64}}) {
    AesCbcDecryption decryption(key, iv);
    Bytes out(ciphertext.size());
    for (std::size_t at = 0; at < out.size(); at += piece) {
      auto size = std::min(piece, out.size() - at);
      decryption.decrypt(ByteView(ciphertext).subspan(at, size), MutableByteView(out).subspan(at, size));
    }
    EXPECT_EQ(out, plaintext) << piece;
  }
}

// RFC 4231, test case 2, and the function that takes all at once.
TEST(Hmac, InPieces) {
  auto key = as_bytes("Jefe");
  Hmac mac(Hash::sha256, key);
  mac.update(as_bytes("what do ya want "));
  mac.update({});
  mac.update(as_bytes("for nothing?"));
  auto tag = mac.finish();
  EXPECT_EQ(to_hex(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(tag, hmac(Hash::sha256, key, as_bytes("what do ya want for nothing?")));
}

}  // namespace
}  // namespace cloister::crypto
