// Signing and verifying. ECDSA signatures travel as r‖s of fixed width (RFC 9053 section 2.1); OpenSSL wants
// DER (RFC 3279 section 2.2.3).
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include <optional>

#include "crypto/handles.h"
#include "crypto/keys.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kEd25519Signature = 64;  // bytes
constexpr std::size_t kP256Scalar = 32;        // bytes
constexpr std::size_t kP384Scalar = 48;        // bytes
constexpr std::size_t kP521Scalar = 66;        // bytes

// How a type of key signs.
struct Scheme {
  const EVP_MD* digest;   // null: the algorithm hashes by itself
  std::size_t scalar;     // bytes of r and of s; 0: not ECDSA
  std::size_t signature;  // bytes
};

std::optional<Scheme> scheme_of(KeyType type) {
  switch (type) {
    case KeyType::ed25519:
      return Scheme{nullptr, 0, kEd25519Signature};
    case KeyType::p256:
      return Scheme{md_of(Hash::sha256), kP256Scalar, 2 * kP256Scalar};
    case KeyType::p384:
      return Scheme{md_of(Hash::sha384), kP384Scalar, 2 * kP384Scalar};
    case KeyType::p521:
      return Scheme{md_of(Hash::sha512), kP521Scalar, 2 * kP521Scalar};
    case KeyType::rsa2048:
    case KeyType::x25519:
      return std::nullopt;
  }
  return std::nullopt;
}

BIGNUM* number(ByteView big_endian) {
  return BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr);
}

Bytes to_der(ByteView raw) {
  Handle<ECDSA_SIG> pair(ECDSA_SIG_new());
  BIGNUM* r = number(raw.first(raw.size() / 2));
  BIGNUM* s = number(raw.last(raw.size() / 2));
  require(pair && r != nullptr && s != nullptr && ECDSA_SIG_set0(pair.get(), r, s) == 1, "out of memory");
  std::uint8_t* der = nullptr;
  int size = i2d_ECDSA_SIG(pair.get(), &der);
  require(size > 0, "out of memory");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

Result<Bytes> from_der(ByteView der, std::size_t scalar) {
  const std::uint8_t* at = der.data();
  Handle<ECDSA_SIG> pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  Bytes out(2 * scalar);
  int width = static_cast<int>(scalar);
  if (!pair || BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), out.data(), width) != width ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), out.data() + scalar, width) != width) {
    return fail_openssl(ErrorKind::internal, "ECDSA signature");
  }
  return out;
}

}  // namespace

Status PublicKey::verify(ByteView message, ByteView signature) const {
  auto scheme = scheme_of(type());
  if (!scheme) return fail(ErrorKind::denied, "this type of key makes no signatures");
  if (signature.size() != scheme->signature) return fail(ErrorKind::denied, "signature of a wrong size");
  Bytes encoded = scheme->scalar != 0 ? to_der(signature) : to_bytes(signature);
  Handle<EVP_MD_CTX> context(EVP_MD_CTX_new());
  auto* key = static_cast<EVP_PKEY*>(handle());
  bool good =
      context && EVP_DigestVerifyInit(context.get(), nullptr, scheme->digest, nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), encoded.data(), encoded.size(), message.data(), message.size()) == 1;
  clear_errors();
  if (!good) return fail(ErrorKind::denied, "signature does not verify");
  return {};
}

Result<Bytes> PrivateKey::sign(ByteView message) const {
  auto scheme = scheme_of(type());
  if (!scheme) return fail(ErrorKind::invalid, "this type of key makes no signatures");
  Handle<EVP_MD_CTX> context(EVP_MD_CTX_new());
  auto* key = static_cast<EVP_PKEY*>(handle());
  std::size_t size = 0;
  if (!context || EVP_DigestSignInit(context.get(), nullptr, scheme->digest, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) != 1) {
    return fail_openssl(ErrorKind::internal, "sign");
  }
  Bytes signature(size);
  if (EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    return fail_openssl(ErrorKind::internal, "sign");
  }
  signature.resize(size);
  if (scheme->scalar == 0) return signature;
  return from_der(signature, scheme->scalar);
}

}  // namespace cloister::crypto
