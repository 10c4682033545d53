// HPKE (RFC 9180), base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. Names
// are the RFC's. The sequence number is always 0, because the ephemeral key is used once.
#include <openssl/evp.h>

#include "crypto/handles.h"
#include "crypto/keys.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kPublicSize = 32;  // bytes, X25519
constexpr std::size_t kSharedSize = 32;  // bytes
constexpr std::size_t kKeySize = 32;     // bytes, ChaCha20
constexpr std::size_t kNonceSize = 12;   // bytes
constexpr std::size_t kTagSize = 16;     // bytes

// suite_id (sections 4.1 and 5.1): kem_id 0x0020, kdf_id 0x0001, aead_id 0x0003.
constexpr std::uint8_t kKemSuite[] = {'K', 'E', 'M', 0x00, 0x20};
constexpr std::uint8_t kHpkeSuite[] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x03};

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

// LabeledExtract and LabeledExpand (section 4). No output here is longer than one block of the hash, so that
// HKDF-Expand (RFC 5869) is its first round.
Secret labeled_extract(ByteView suite, ByteView salt, std::string_view label, ByteView input) {
  Writer labeled;
  labeled.bytes(as_bytes("HPKE-v1")).bytes(suite).bytes(as_bytes(label)).bytes(input);
  Secret text(std::move(labeled).take());
  return Secret(hmac(Hash::sha256, salt, text.view()));
}

Secret labeled_expand(ByteView suite, const Secret& key, std::string_view label, ByteView info,
                      std::size_t length) {
  Writer labeled;
  labeled.u16(static_cast<std::uint16_t>(length)).bytes(as_bytes("HPKE-v1")).bytes(suite);
  labeled.bytes(as_bytes(label)).bytes(info).u8(1);
  Secret block(hmac(Hash::sha256, key.view(), std::move(labeled).take()));
  return Secret(block.view().first(length));
}

struct Schedule {
  Secret key;
  Secret nonce;
};

// ExtractAndExpand (section 4.1), then KeySchedule of mode_base (section 5.1).
Schedule derive(const Secret& dh, ByteView enc, ByteView recipient, std::string_view info) {
  Bytes kem_context = to_bytes(enc);
  append(kem_context, recipient);
  auto eae_prk = labeled_extract(kKemSuite, {}, "eae_prk", dh.view());
  auto shared = labeled_expand(kKemSuite, eae_prk, "shared_secret", kem_context, kSharedSize);
  Bytes context{0};  // mode_base
  append(context, labeled_extract(kHpkeSuite, {}, "psk_id_hash", {}).view());
  append(context, labeled_extract(kHpkeSuite, {}, "info_hash", as_bytes(info)).view());
  auto secret = labeled_extract(kHpkeSuite, shared.view(), "secret", {});
  return {labeled_expand(kHpkeSuite, secret, "key", context, kKeySize),
          labeled_expand(kHpkeSuite, secret, "base_nonce", context, kNonceSize)};
}

Handle<EVP_CIPHER_CTX> start(const Schedule& schedule, bool encrypt) {
  Handle<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  require(context &&
              EVP_CipherInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, schedule.key.view().data(),
                                schedule.nonce.view().data(), encrypt ? 1 : 0) == 1,
          "ChaCha20-Poly1305");
  return context;
}

bool update(EVP_CIPHER_CTX* context, std::uint8_t* out, ByteView in) {
  int size = 0;
  return in.empty() || EVP_CipherUpdate(context, out, &size, in.data(), static_cast<int>(in.size())) == 1;
}

Status check(const KeyType& type, std::size_t size) {
  if (type != KeyType::x25519) return fail(ErrorKind::invalid, "sealed box: not an X25519 key");
  if (size > kMaxSealed) return fail(ErrorKind::exhausted, "sealed box: larger than {} bytes", kMaxSealed);
  return {};
}

}  // namespace

Result<Bytes> seal_to(const PublicKey& x25519, std::string_view info, ByteView plaintext) {
  TRY(check(x25519.type(), plaintext.size()));
  auto ephemeral = TRY(PrivateKey::generate(KeyType::x25519));
  Bytes sealed = TRY(ephemeral.public_key().raw());
  auto context = start(derive(TRY(agree(ephemeral, x25519)), sealed, TRY(x25519.raw()), info), true);
  sealed.resize(kPublicSize + plaintext.size() + kTagSize);
  auto* out = sealed.data() + kPublicSize;
  int none = 0;
  bool done =
      update(context.get(), out, plaintext) && EVP_CipherFinal_ex(context.get(), out, &none) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, out + plaintext.size()) == 1;
  require(done, "ChaCha20-Poly1305");
  return sealed;
}

Result<Bytes> open_sealed(const PrivateKey& x25519, std::string_view info, ByteView sealed,
                          ByteView associated) {
  TRY(check(x25519.type(), sealed.size()));
  if (sealed.size() < kPublicSize + kTagSize) return fail(ErrorKind::corrupt, "sealed box: too short");
  auto enc = sealed.first(kPublicSize);
  auto peer = TRY(PublicKey::from_raw_x25519(enc));
  auto context = start(derive(TRY(agree(x25519, peer)), enc, TRY(x25519.public_key().raw()), info), false);
  auto ciphertext = sealed.subspan(kPublicSize, sealed.size() - kPublicSize - kTagSize);
  auto tag = to_bytes(sealed.last(kTagSize));
  Bytes plaintext(ciphertext.size());
  int none = 0;
  bool done = EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) == 1 &&
              update(context.get(), nullptr, associated) &&
              update(context.get(), plaintext.data(), ciphertext) &&
              EVP_CipherFinal_ex(context.get(), plaintext.data() + plaintext.size(), &none) == 1;
  clear_errors();
  if (!done) {
    wipe(plaintext);
    return fail(ErrorKind::corrupt, "sealed box: not for this key, or changed");
  }
  return plaintext;
}

}  // namespace cloister::crypto
