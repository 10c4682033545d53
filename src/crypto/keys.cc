#include "crypto/keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <optional>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kMaxKey = 16 * 1024;  // bytes, DER or PEM
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 4096;
constexpr BN_ULONG kMinRsaExponent = 65537;  // FIPS 186-5
constexpr std::size_t kRawSize = 32;         // bytes; Ed25519 and X25519
constexpr std::size_t kP256Spki = 91;        // bytes: named curve, uncompressed point
constexpr std::size_t kP384Spki = 120;
constexpr std::size_t kP521Spki = 158;

EVP_PKEY* pkey(void* handle) {
  return static_cast<EVP_PKEY*>(handle);
}

std::shared_ptr<void> share(Handle<EVP_PKEY> key) {
  return {key.release(), [](void* p) { EVP_PKEY_free(pkey(p)); }};
}

bool usable_rsa(const EVP_PKEY* key) {
  int bits = EVP_PKEY_get_bits(key);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) return false;
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) return false;
  BIGNUM* least = BN_new();
  bool usable = least != nullptr && BN_set_word(least, kMinRsaExponent) == 1 && BN_is_odd(exponent) &&
                BN_cmp(exponent, least) >= 0;
  BN_free(least);
  BN_free(exponent);
  return usable;
}

std::optional<KeyType> type_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyType::ed25519;
  if (EVP_PKEY_is_a(key, "X25519")) return KeyType::x25519;
  if (EVP_PKEY_is_a(key, "RSA") && usable_rsa(key)) return KeyType::rsa2048;
  char group[32] = {};
  if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1) {
    return std::nullopt;
  }
  if (std::string_view(group) == "prime256v1") return KeyType::p256;
  if (std::string_view(group) == "secp384r1") return KeyType::p384;
  if (std::string_view(group) == "secp521r1") return KeyType::p521;
  return std::nullopt;
}

KeyType known_type_of(void* key) {
  auto type = type_of(pkey(key));
  require(type.has_value(), "key of an unsupported type");
  return *type;
}

Bytes spki_of(const EVP_PKEY* key) {
  std::uint8_t* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  require(size > 0, "key without an encoding");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

// A key has one encoding, since its digest names it: explicit curve parameters and compressed points would be
// others.
bool canonical(const EVP_PKEY* key, KeyType type, ByteView der) {
  if (type == KeyType::p256 && der.size() != kP256Spki) return false;
  if (type == KeyType::p384 && der.size() != kP384Spki) return false;
  if (type == KeyType::p521 && der.size() != kP521Spki) return false;
  return std::ranges::equal(spki_of(key), der);
}

Result<PublicKey> from_raw(int id, ByteView raw) {
  if (raw.size() != kRawSize)
    return fail(ErrorKind::invalid, "public key of {} bytes, not {}", raw.size(), kRawSize);
  Handle<EVP_PKEY> key(EVP_PKEY_new_raw_public_key(id, nullptr, raw.data(), raw.size()));
  if (!key) return fail_openssl(ErrorKind::invalid, "public key");
  return PublicKey(share(std::move(key)));
}

}  // namespace

Result<PublicKey> PublicKey::from_spki(ByteView der) {
  if (der.empty() || der.size() > kMaxKey)
    return fail(ErrorKind::invalid, "public key of {} bytes", der.size());
  const std::uint8_t* at = der.data();
  Handle<EVP_PKEY> key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  clear_errors();
  if (!key) return fail(ErrorKind::invalid, "public key: not a SubjectPublicKeyInfo of a known algorithm");
  auto type = type_of(key.get());
  clear_errors();
  if (!type) return fail(ErrorKind::invalid, "public key: unsupported type, curve or size");
  if (!canonical(key.get(), *type, der))
    return fail(ErrorKind::invalid, "public key: not in its canonical encoding");
  return PublicKey(share(std::move(key)));
}

Result<PublicKey> PublicKey::from_raw_ed25519(ByteView raw) {
  return from_raw(EVP_PKEY_ED25519, raw);
}

Result<PublicKey> PublicKey::from_raw_x25519(ByteView raw) {
  return from_raw(EVP_PKEY_X25519, raw);
}

KeyType PublicKey::type() const {
  return known_type_of(handle());
}

Bytes PublicKey::spki() const {
  return spki_of(pkey(handle()));
}

Result<Bytes> PublicKey::raw() const {
  if (type() != KeyType::ed25519 && type() != KeyType::x25519) {
    return fail(ErrorKind::invalid, "public key: this type has no raw form");
  }
  Bytes out(kRawSize);
  std::size_t size = out.size();
  if (EVP_PKEY_get_raw_public_key(pkey(handle()), out.data(), &size) != 1 || size != out.size()) {
    return fail_openssl(ErrorKind::internal, "raw public key");
  }
  return out;
}

Sha256 PublicKey::fingerprint() const {
  return sha256(spki());
}

namespace {

Handle<EVP_PKEY> generate_key(KeyType type) {
  switch (type) {
    case KeyType::ed25519:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    case KeyType::x25519:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
    case KeyType::p256:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    case KeyType::p384:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    case KeyType::p521:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521"));
    case KeyType::rsa2048:
      return Handle<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
  }
  return nullptr;
}

// The first block of a PEM text, wiped when dropped.
struct PemBlock {
  char* label = nullptr;
  char* header = nullptr;
  std::uint8_t* data = nullptr;
  long size = 0;

  PemBlock() = default;
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;
  ~PemBlock() {
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
};

Handle<EVP_PKEY> decode_pkcs8(const PemBlock& block) {
  const std::uint8_t* at = block.data;
  Handle<PKCS8_PRIV_KEY_INFO> info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, block.size));
  if (!info || at != block.data + block.size) return nullptr;
  return Handle<EVP_PKEY>(EVP_PKCS82PKEY(info.get()));
}

Handle<EVP_PKEY> decode_ec(const PemBlock& block) {
  const std::uint8_t* at = block.data;
  Handle<EVP_PKEY> key(d2i_PrivateKey(EVP_PKEY_EC, nullptr, &at, block.size));
  if (!key || at != block.data + block.size) return nullptr;
  return key;
}

// Block by block rather than by PEM_read_bio_PrivateKey, which also takes older formats and asks the terminal
// for pass phrases. No reason of OpenSSL's is passed on: what failed is a secret's inside.
Status next_block(BIO* bio, PemBlock& block) {
  bool read = PEM_read_bio(bio, &block.label, &block.header, &block.data, &block.size) == 1;
  clear_errors();
  if (!read) return fail(ErrorKind::invalid, "private key: not a PEM file");
  return {};
}

bool plain(const PemBlock& block, std::string_view label) {
  return block.label == label && *block.header == '\0';
}

Result<Handle<EVP_PKEY>> usable(Handle<EVP_PKEY> key) {
  clear_errors();
  if (!key || !type_of(key.get()))
    return fail(ErrorKind::invalid, "private key: malformed or of an unsupported type");
  TRY(PublicKey::from_spki(spki_of(key.get())));
  return key;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate(KeyType type) {
  auto key = generate_key(type);
  if (!key) return fail_openssl(ErrorKind::internal, "key generation");
  return PrivateKey(share(std::move(key)));
}

Result<PrivateKey> PrivateKey::from_pem(ByteView pem) {
  if (pem.size() > kMaxKey) return fail(ErrorKind::invalid, "private key: longer than {} bytes", kMaxKey);
  auto bio = memory_reader(pem);
  PemBlock block;
  TRY(next_block(bio.get(), block));
  if (!plain(block, PEM_STRING_PKCS8INF))
    return fail(ErrorKind::invalid, "private key: not an unencrypted PKCS#8 \"PRIVATE KEY\"");
  return PrivateKey(share(TRY(usable(decode_pkcs8(block)))));
}

Result<PrivateKey> PrivateKey::from_foreign_pem(ByteView pem) {
  if (pem.size() > kMaxKey) return fail(ErrorKind::invalid, "private key: longer than {} bytes", kMaxKey);
  auto bio = memory_reader(pem);
  PemBlock first;
  TRY(next_block(bio.get(), first));
  PemBlock second;
  bool parameters = plain(first, PEM_STRING_ECPARAMETERS);
  if (parameters) TRY(next_block(bio.get(), second));
  const auto& block = parameters ? second : first;
  if (plain(block, PEM_STRING_PKCS8INF)) return PrivateKey(share(TRY(usable(decode_pkcs8(block)))));
  if (plain(block, PEM_STRING_ECPRIVATEKEY)) return PrivateKey(share(TRY(usable(decode_ec(block)))));
  return fail(ErrorKind::invalid,
              "private key: neither an unencrypted \"PRIVATE KEY\" nor an \"EC PRIVATE KEY\"");
}

Secret PrivateKey::to_pem() const {
  Handle<BIO> bio(BIO_new(BIO_s_secmem()));  // wiped when freed and when it grows
  require(bio != nullptr, "out of memory");
  bool written =
      PEM_write_bio_PKCS8PrivateKey(bio.get(), pkey(handle()), nullptr, nullptr, 0, nullptr, nullptr) == 1;
  require(written, "private key without an encoding");
  std::uint8_t* text = nullptr;
  long size = BIO_get_mem_data(bio.get(), &text);
  return Secret(ByteView(text, static_cast<std::size_t>(size)));
}

KeyType PrivateKey::type() const {
  return known_type_of(handle());
}

// A copy of the public half only: the private one must not live on in what looks public.
PublicKey PrivateKey::public_key() const {
  auto key = PublicKey::from_spki(spki_of(pkey(handle())));
  require(key.has_value(), "private key without a public half");
  return *key;
}

}  // namespace cloister::crypto
