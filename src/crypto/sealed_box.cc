// The anonymous box: X25519 with a fresh key, HKDF-SHA256, AES-256-GCM. Both public keys enter the
// derivation, so a box is bound to its recipient; key and nonce are used once, because the ephemeral key is.
#include <openssl/evp.h>

#include <algorithm>

#include "crypto/aead.h"
#include "crypto/handles.h"
#include "crypto/keys.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kPublicSize = 32;  // bytes, X25519
constexpr std::size_t kSharedSize = 32;  // bytes

// invalid: the result is all zeros, which is what points of small order give whatever our key is (RFC 7748
// section 6.1).
Result<Secret> agree(const PrivateKey& ours, const PublicKey& theirs) {
  Handle<EVP_PKEY_CTX> context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, static_cast<EVP_PKEY*>(ours.handle()), nullptr));
  Secret shared(kSharedSize);
  std::size_t size = shared.size();
  bool ok = context && EVP_PKEY_derive_init(context.get()) == 1 &&
            EVP_PKEY_derive_set_peer(context.get(), static_cast<EVP_PKEY*>(theirs.handle())) == 1 &&
            EVP_PKEY_derive(context.get(), shared.mutable_view().data(), &size) == 1 && size == shared.size();
  clear_errors();
  const Bytes zeros(kSharedSize);
  if (!ok || equal_constant_time(shared.view(), zeros)) {
    return fail(ErrorKind::invalid, "sealed box: useless public key");
  }
  return shared;
}

// What one box is encrypted under.
struct BoxKey {
  Secret key;
  Bytes nonce;
};

BoxKey derive(const Secret& shared, ByteView ephemeral, ByteView recipient, std::string_view purpose) {
  Bytes salt = to_bytes(ephemeral);
  append(salt, recipient);
  auto material = hkdf(Hash::sha256, shared.view(), salt, as_bytes(purpose), kGcmKeySize + kGcmNonceSize);
  return {Secret(material.view().first(kGcmKeySize)), to_bytes(material.view().last(kGcmNonceSize))};
}

}  // namespace

Result<Bytes> seal_to(const PublicKey& x25519, std::string_view purpose, ByteView plaintext) {
  if (x25519.type() != KeyType::x25519) return fail(ErrorKind::invalid, "sealed box: not an X25519 key");
  auto ephemeral = TRY(PrivateKey::generate(KeyType::x25519));
  Bytes sealed = TRY(ephemeral.public_key().raw());
  auto box = derive(TRY(agree(ephemeral, x25519)), sealed, TRY(x25519.raw()), purpose);
  sealed.resize(kPublicSize + plaintext.size() + kGcmTagSize);
  AesGcm(box.key).seal(box.nonce, {}, plaintext, MutableByteView(sealed).subspan(kPublicSize));
  return sealed;
}

Result<Bytes> open_sealed(const PrivateKey& x25519, std::string_view purpose, ByteView sealed) {
  if (x25519.type() != KeyType::x25519) return fail(ErrorKind::invalid, "sealed box: not an X25519 key");
  if (sealed.size() < kPublicSize + kGcmTagSize) return fail(ErrorKind::corrupt, "sealed box: too short");
  auto ephemeral = sealed.first(kPublicSize);
  auto peer = TRY(PublicKey::from_raw_x25519(ephemeral));
  auto box = derive(TRY(agree(x25519, peer)), ephemeral, TRY(x25519.public_key().raw()), purpose);
  Bytes plaintext(sealed.size() - kPublicSize - kGcmTagSize);
  TRY(AesGcm(box.key).open(box.nonce, {}, sealed.subspan(kPublicSize), plaintext).context("sealed box"));
  return plaintext;
}

}  // namespace cloister::crypto
