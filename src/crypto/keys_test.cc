#include "crypto/keys.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/handles.h"
#include "crypto/rsa_oaep.h"

namespace cloister::crypto {
namespace {

constexpr KeyType kAllTypes[] = {KeyType::ed25519, KeyType::p256,    KeyType::p384,
                                 KeyType::p521,    KeyType::rsa2048, KeyType::x25519};
constexpr KeyType kSigners[] = {KeyType::ed25519, KeyType::p256, KeyType::p384, KeyType::p521};

Bytes unhex(std::string_view text) {
  return *from_hex(text);
}

Bytes encode(EVP_PKEY* key) {
  std::uint8_t* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

Bytes flip(Bytes bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1u << bit % 8);
  return bytes;
}

TEST(PublicKey, SpkiRoundTrip) {
  for (auto type : kAllTypes) {
    auto key = PrivateKey::generate(type)->public_key();
    auto again = PublicKey::from_spki(key.spki());
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->type(), type);
    EXPECT_EQ(again->fingerprint(), sha256(key.spki()));
  }
}

TEST(PublicKey, SpkiRefusesTrailingTruncatedAndEmpty) {
  for (auto type : kAllTypes) {
    auto spki = PrivateKey::generate(type)->public_key().spki();
    auto longer = spki;
    longer.push_back(0);
    EXPECT_FALSE(PublicKey::from_spki(longer));
    for (std::size_t size = 0; size < spki.size(); ++size) {
      ASSERT_FALSE(PublicKey::from_spki(ByteView(spki).first(size))) << size;
    }
  }
  EXPECT_FALSE(PublicKey::from_spki(Bytes(100'000, 0x30)));
}

TEST(PublicKey, SpkiRefusesOtherTypesCurvesAndSizes) {
  auto refuses = [](EVP_PKEY* made) {
    Handle<EVP_PKEY> key(made);
    ASSERT_TRUE(key);
    auto read = PublicKey::from_spki(encode(key.get()));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind(), ErrorKind::invalid);
  };
  refuses(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"));
  refuses(EVP_PKEY_Q_keygen(nullptr, nullptr, "X448"));
  refuses(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "brainpoolP512r1"));
  refuses(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"));
  refuses(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
}

TEST(PublicKey, SpkiRefusesSmallExponent) {
  Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  unsigned exponent = 3;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_E, &exponent),
                         OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  ASSERT_EQ(EVP_PKEY_keygen_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_params(context.get(), params), 1);
  ASSERT_EQ(EVP_PKEY_generate(context.get(), &key), 1);
  Handle<EVP_PKEY> owned(key);
  EXPECT_FALSE(PublicKey::from_spki(encode(key)));
}

// One key, one encoding, one fingerprint.
TEST(PublicKey, SpkiRefusesOtherEncodingsOfTheSameKey) {
  Handle<EVP_PKEY> compressed(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  ASSERT_TRUE(PublicKey::from_spki(encode(compressed.get())));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(compressed.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                           "compressed"),
            1);
  auto der = encode(compressed.get());
  ASSERT_EQ(der.size(), 59u);
  EXPECT_FALSE(PublicKey::from_spki(der));

  Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* made = nullptr;
  ASSERT_EQ(EVP_PKEY_keygen_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_group_name(context.get(), "P-256"), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_ec_param_enc(context.get(), OPENSSL_EC_EXPLICIT_CURVE), 1);
  ASSERT_EQ(EVP_PKEY_generate(context.get(), &made), 1);
  Handle<EVP_PKEY> explicit_curve(made);
  ASSERT_GT(encode(made).size(), 200u);
  EXPECT_FALSE(PublicKey::from_spki(encode(made)));
}

TEST(PublicKey, SpkiRefusesPointsOffTheCurve) {
  auto spki = PrivateKey::generate(KeyType::p384)->public_key().spki();
  EXPECT_FALSE(PublicKey::from_spki(flip(spki, spki.size() * 8 - 1)));
}

TEST(PublicKey, RawRoundTrip) {
  auto ed = PrivateKey::generate(KeyType::ed25519)->public_key();
  EXPECT_EQ(PublicKey::from_raw_ed25519(*ed.raw())->fingerprint(), ed.fingerprint());
  auto x = PrivateKey::generate(KeyType::x25519)->public_key();
  EXPECT_EQ(PublicKey::from_raw_x25519(*x.raw())->fingerprint(), x.fingerprint());
  EXPECT_FALSE(PublicKey::from_raw_ed25519(Bytes(31)));
  EXPECT_FALSE(PublicKey::from_raw_x25519(Bytes(33)));
  EXPECT_FALSE(PrivateKey::generate(KeyType::p256)->public_key().raw());
}

TEST(Signature, Ed25519KnownAnswer) {  // RFC 8032 section 7.1, test 1
  auto key =
      PublicKey::from_raw_ed25519(unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
  auto signature = unhex(
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5"
      "f0595bbe"
      "24655141438e7a100b");
  EXPECT_TRUE(key->verify({}, signature));
  EXPECT_FALSE(key->verify(Bytes(1), signature));
}

TEST(Signature, EcdsaKnownAnswer) {  // RFC 6979 appendix A.2.6, SHA-384, "sample"
  auto spki = unhex(
      "3076301006072a8648ce3d020106052b8104002203620004ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5"
      "286b300c64"
      "def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b23"
      "1c3ae0d4fe"
      "7344fd2533264720");
  auto signature = unhex(
      "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4699ef4a"
      "eb15f178ce"
      "a1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8");
  auto key = PublicKey::from_spki(spki);
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_TRUE(key->verify(as_bytes("sample"), signature));
  EXPECT_FALSE(key->verify(as_bytes("samplf"), signature));
}

TEST(Signature, RefusesFlipsOtherKeysAndSizes) {
  const Bytes message = to_bytes("the message");
  for (auto type : kSigners) {
    auto key = *PrivateKey::generate(type);
    auto signature = key.sign(message);
    ASSERT_TRUE(signature);
    EXPECT_EQ(signature->size(), type == KeyType::p521 ? 132u : type == KeyType::p384 ? 96u : 64u);
    EXPECT_TRUE(key.public_key().verify(message, *signature));
    for (std::size_t bit = 0; bit < signature->size() * 8; bit += 5) {
      auto verified = key.public_key().verify(message, flip(*signature, bit));
      ASSERT_FALSE(verified) << bit;
      ASSERT_EQ(verified.error().kind(), ErrorKind::denied);
    }
    EXPECT_FALSE(key.public_key().verify(flip(message, 3), *signature));
    EXPECT_FALSE(PrivateKey::generate(type)->public_key().verify(message, *signature));
    auto longer = *signature;
    longer.push_back(0);
    EXPECT_FALSE(key.public_key().verify(message, longer));
    EXPECT_FALSE(key.public_key().verify(message, ByteView(*signature).first(signature->size() - 1)));
    EXPECT_FALSE(key.public_key().verify(message, {}));
    EXPECT_FALSE(key.public_key().verify(message, Bytes(signature->size())));  // r = s = 0
    EXPECT_FALSE(key.public_key().verify(message, Bytes(signature->size(), 0xff)));
  }
}

TEST(Signature, FixedWidthWhenScalarsAreShort) {
  auto key = *PrivateKey::generate(KeyType::p256);
  for (int i = 0; i < 600; ++i) {  // one in 128 has a leading zero in r or s
    auto signature = *key.sign(as_bytes("again"));
    ASSERT_EQ(signature.size(), 64u);
    ASSERT_TRUE(key.public_key().verify(as_bytes("again"), signature));
  }
}

TEST(Signature, OtherKeysDoNotSign) {
  for (auto type : {KeyType::rsa2048, KeyType::x25519}) {
    auto key = *PrivateKey::generate(type);
    EXPECT_FALSE(key.sign(as_bytes("x")));
    EXPECT_EQ(key.public_key().verify(as_bytes("x"), Bytes(64)).error().kind(), ErrorKind::denied);
  }
}

TEST(PrivateKey, PemRoundTrip) {
  for (auto type : kAllTypes) {
    auto key = *PrivateKey::generate(type);
    auto pem = key.to_pem();
    EXPECT_TRUE(as_text(pem.view()).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    auto again = PrivateKey::from_pem(pem.view());
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->type(), type);
    EXPECT_EQ(again->public_key().fingerprint(), key.public_key().fingerprint());
  }
}

std::string pem_of(EVP_PKEY* key, bool traditional, const char* password) {
  Handle<BIO> bio(BIO_new(BIO_s_mem()));
  auto* cipher = password != nullptr ? EVP_aes_256_cbc() : nullptr;
  auto* bytes = reinterpret_cast<const unsigned char*>(password);
  int size = password != nullptr ? static_cast<int>(strlen(password)) : 0;
  int ok = traditional
               ? PEM_write_bio_PrivateKey_traditional(bio.get(), key, cipher, bytes, size, nullptr, nullptr)
               : PEM_write_bio_PKCS8PrivateKey(bio.get(), key, cipher, password, size, nullptr, nullptr);
  EXPECT_EQ(ok, 1);
  char* text = nullptr;
  long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

TEST(PrivateKey, ForeignPemTakesWhatOpensslWrites) {
  auto key = *PrivateKey::generate(KeyType::p384);
  auto* handle = static_cast<EVP_PKEY*>(key.handle());
  const std::string parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
  auto traditional = pem_of(handle, true, nullptr);
  for (const auto& pem : {pem_of(handle, false, nullptr), traditional, parameters + traditional}) {
    auto read = PrivateKey::from_foreign_pem(as_bytes(pem));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->public_key().spki(), key.public_key().spki());
  }
  EXPECT_FALSE(PrivateKey::from_foreign_pem(as_bytes(parameters)));
  EXPECT_FALSE(PrivateKey::from_foreign_pem(as_bytes(parameters + parameters + traditional)));
  EXPECT_FALSE(PrivateKey::from_foreign_pem(as_bytes(pem_of(handle, true, "secret"))));
  EXPECT_FALSE(PrivateKey::from_foreign_pem(as_bytes(pem_of(handle, false, "secret"))));
  Handle<EVP_PKEY> odd(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"));
  EXPECT_FALSE(PrivateKey::from_foreign_pem(as_bytes(pem_of(odd.get(), true, nullptr))));
}

TEST(PrivateKey, PemRefusesOtherFormats) {
  auto key = *PrivateKey::generate(KeyType::p256);
  auto* handle = static_cast<EVP_PKEY*>(key.handle());
  EXPECT_FALSE(PrivateKey::from_pem(as_bytes(pem_of(handle, true, nullptr))));
  EXPECT_FALSE(PrivateKey::from_pem(as_bytes(pem_of(handle, true, "secret"))));
  EXPECT_FALSE(PrivateKey::from_pem(as_bytes(pem_of(handle, false, "secret"))));
  EXPECT_TRUE(PrivateKey::from_pem(as_bytes(pem_of(handle, false, nullptr))));
  Handle<EVP_PKEY> small(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
  EXPECT_FALSE(PrivateKey::from_pem(as_bytes(pem_of(small.get(), false, nullptr))));
  EXPECT_FALSE(PrivateKey::from_pem({}));
  EXPECT_FALSE(PrivateKey::from_pem(Bytes(20'000, '\n')));
  EXPECT_FALSE(
      PrivateKey::from_pem(as_bytes("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")));
}

TEST(PrivateKey, PublicHalfHasNoPrivateOne) {
  for (auto type : kAllTypes) {
    auto half = PrivateKey::generate(type)->public_key();
    BIGNUM* number = nullptr;
    std::uint8_t raw[64];
    std::size_t size = sizeof raw;
    auto* handle = static_cast<EVP_PKEY*>(half.handle());
    EXPECT_NE(EVP_PKEY_get_raw_private_key(handle, raw, &size), 1);
    EXPECT_NE(EVP_PKEY_get_bn_param(handle, OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
    EXPECT_NE(EVP_PKEY_get_bn_param(handle, OSSL_PKEY_PARAM_RSA_D, &number), 1);
  }
}

TEST(Oaep, RoundTripAndRefusals) {
  auto key = *PrivateKey::generate(KeyType::rsa2048);
  auto sealed = key.public_key().oaep_encrypt(as_bytes("content key"));
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->size(), 256u);
  EXPECT_NE(*sealed, *key.public_key().oaep_encrypt(as_bytes("content key")));
  auto opened = oaep_decrypt(key, *sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(as_text(opened->view()), "content key");

  auto other = *PrivateKey::generate(KeyType::rsa2048);
  for (const auto& failed :
       {oaep_decrypt(key, flip(*sealed, 2000)), oaep_decrypt(key, ByteView(*sealed).first(255)),
        oaep_decrypt(key, {}), oaep_decrypt(other, *sealed),
        oaep_decrypt(*PrivateKey::generate(KeyType::p256), *sealed)}) {
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message(), "RSAES-OAEP does not open");
  }
  EXPECT_FALSE(key.public_key().oaep_encrypt(Bytes(256 - 2 * 32 - 1)));
  EXPECT_TRUE(key.public_key().oaep_encrypt(Bytes(256 - 2 * 32 - 2)));
  EXPECT_FALSE(PrivateKey::generate(KeyType::x25519)->public_key().oaep_encrypt(Bytes(1)));
}

TEST(SealedBox, RoundTrip) {
  auto key = *PrivateKey::generate(KeyType::x25519);
  for (std::size_t size : {0, 1, 100'000}) {
    auto plaintext = random_bytes(size);
    auto sealed = seal_to(key.public_key(), "test/v1", plaintext);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(sealed->size(), 32 + size + 16);
    EXPECT_EQ(*open_sealed(key, "test/v1", *sealed), plaintext);
    EXPECT_NE(*seal_to(key.public_key(), "test/v1", plaintext), *sealed);
  }
}

// RFC 9180, appendix A.2.1: the first encryption of the base mode.
TEST(SealedBox, OpensTheMessageOfTheStandard) {
  auto key =
      PrivateKey::from_pem(as_bytes("-----BEGIN PRIVATE "
                                    "KEY-----\nMC4CAQAwBQYDK2VuBCIEIIBXmR7vjx8a8Y9KlJHRahzjM/"
                                    "aV1NuOONp1l1xEeOD7\n-----END PRIVATE KEY-----\n"));
  ASSERT_TRUE(key) << key.error().message();
  auto box = unhex(
      "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
      "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
  auto plaintext = open_sealed(*key, "Ode on a Grecian Urn", box, as_bytes("Count-0"));
  ASSERT_TRUE(plaintext) << plaintext.error().message();
  EXPECT_EQ(as_text(*plaintext), "Beauty is truth, truth beauty");
  EXPECT_FALSE(open_sealed(*key, "Ode on a Grecian Urn", box, as_bytes("Count-1")));
}

TEST(SealedBox, RefusesEveryFlippedBitTruncationPurposeAndKey) {
  auto key = *PrivateKey::generate(KeyType::x25519);
  auto sealed = *seal_to(key.public_key(), "test/v1", as_bytes("diagnostics"));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit)
    ASSERT_FALSE(open_sealed(key, "test/v1", flip(sealed, bit)));
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    ASSERT_FALSE(open_sealed(key, "test/v1", ByteView(sealed).first(size)));
  }
  EXPECT_FALSE(open_sealed(key, "test/v2", sealed));
  EXPECT_FALSE(open_sealed(*PrivateKey::generate(KeyType::x25519), "test/v1", sealed));
  EXPECT_FALSE(open_sealed(*PrivateKey::generate(KeyType::ed25519), "test/v1", sealed));
  EXPECT_FALSE(seal_to(PrivateKey::generate(KeyType::ed25519)->public_key(), "test/v1", as_bytes("x")));
}

// A point of small order makes the shared secret zero, whoever the recipient is: anyone could have sealed, or
// could open.
TEST(SealedBox, RefusesPointsOfSmallOrder) {
  auto key = *PrivateKey::generate(KeyType::x25519);
  for (auto point : {"0000000000000000000000000000000000000000000000000000000000000000",
                     "0100000000000000000000000000000000000000000000000000000000000000",
                     "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_FALSE(seal_to(*PublicKey::from_raw_x25519(unhex(point)), "test/v1", as_bytes("x"))) << point;
    auto box = unhex(point);
    box.resize(32 + 16 + 1);
    EXPECT_EQ(open_sealed(key, "test/v1", box).error().message(), "sealed box: useless public key");
  }
}

}  // namespace
}  // namespace cloister::crypto
