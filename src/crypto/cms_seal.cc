// EnvelopedData, opened and made. The bytes made have the shape of KMS's own, indefinite lengths where it has
// them.
#include <openssl/evp.h>

#include "crypto/cms.h"
#include "crypto/cms_oids.h"
#include "crypto/handles.h"
#include "crypto/rsa_oaep.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kContentKeySize = 32;  // bytes, AES-256
constexpr std::size_t kBlock = 16;           // bytes

enum class Direction : int { decrypt = 0, encrypt = 1 };

// AES-256-CBC with PKCS#7 padding. corrupt: the padding or a size is wrong.
Result<Secret> aes_cbc(Direction direction, const Secret& key, ByteView iv, ByteView in) {
  auto failed = fail(ErrorKind::corrupt, "AES-256-CBC failed");
  if (key.size() != kContentKeySize || iv.size() != kBlock || in.size() > kMaxEnvelope) return failed;
  Handle<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  Secret out(in.size() + kBlock);
  auto* start = out.mutable_view().data();
  int body = 0;
  int last = 0;
  bool ok = context &&
            EVP_CipherInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key.view().data(), iv.data(),
                              static_cast<int>(direction)) == 1 &&
            EVP_CipherUpdate(context.get(), start, &body, in.data(), static_cast<int>(in.size())) == 1 &&
            EVP_CipherFinal_ex(context.get(), start + body, &last) == 1;
  clear_errors();
  if (!ok) return failed;
  return Secret(out.view().first(static_cast<std::size_t>(body + last)));
}

}  // namespace

// A wrong RSA ciphertext goes on with a random key, so that it fails where wrong content does and not
// noticeably earlier.
Result<Secret> open_envelope(const EnvelopedData& envelope, const PrivateKey& rsa) {
  auto content_key = random_secret(kContentKeySize);
  auto unwrapped = oaep_decrypt(rsa, envelope.encrypted_key);
  bool wrapped_well = unwrapped && unwrapped->size() == kContentKeySize;
  if (wrapped_well) content_key = *std::move(unwrapped);
  auto plaintext = aes_cbc(Direction::decrypt, content_key, envelope.iv, envelope.encrypted_content);
  if (!wrapped_well || !plaintext) return fail(ErrorKind::corrupt, "the envelope does not open");
  return plaintext;
}

namespace {

constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kSet = 0x31;
constexpr std::uint8_t kOctets = 0x04;
constexpr std::uint8_t kOid = 0x06;
constexpr std::uint8_t kContext0 = 0xa0;
constexpr std::uint8_t kContext1 = 0xa1;
constexpr std::uint8_t kContext0Primitive = 0x80;
constexpr ByteArray<2> kNull{0x05, 0x00};
constexpr ByteArray<3> kVersion{0x02, 0x01, kCmsVersion2[0]};

Bytes join(std::initializer_list<ByteView> parts) {
  Bytes out;
  for (auto part : parts) append(out, part);
  return out;
}

// Definite length, shortest form.
Bytes value(std::uint8_t tag, ByteView contents) {
  Writer writer;
  writer.u8(tag);
  auto size = contents.size();
  if (size < 0x80) {
    writer.u8(static_cast<std::uint8_t>(size));
  } else if (size < 0x100) {
    writer.u8(0x81).u8(static_cast<std::uint8_t>(size));
  } else {
    require(size < 0x10000, "BER value too long");
    writer.u8(0x82).u16(static_cast<std::uint16_t>(size));
  }
  return std::move(writer.bytes(contents)).take();
}

Bytes indefinite(std::uint8_t tag, ByteView contents) {
  const ByteArray<2> start{tag, 0x80};
  const ByteArray<2> end{};
  return join({start, contents, end});
}

Bytes oaep_algorithm() {
  auto sha256 = value(kSequence, join({value(kOid, kOidSha256), kNull}));
  auto mgf1 = value(kSequence, join({value(kOid, kOidMgf1), sha256}));
  auto parameters = value(kSequence, join({value(kContext0, sha256), value(kContext1, mgf1)}));
  return value(kSequence, join({value(kOid, kOidRsaesOaep), parameters}));
}

// KMS identifies the recipient by SHA-256 over the SubjectPublicKeyInfo that the attestation document
// carried.
Bytes recipient_infos(ByteView key_id, ByteView encrypted_key) {
  auto info =
      join({kVersion, value(kContext0Primitive, key_id), oaep_algorithm(), value(kOctets, encrypted_key)});
  return value(kSet, value(kSequence, info));
}

Bytes content_info(ByteView iv, ByteView ciphertext) {
  auto algorithm = value(kSequence, join({value(kOid, kOidAes256Cbc), value(kOctets, iv)}));
  auto content = indefinite(kContext0, value(kOctets, ciphertext));
  return indefinite(kSequence, join({value(kOid, kOidData), algorithm, content}));
}

}  // namespace

Result<Bytes> seal_envelope(const PublicKey& rsa, ByteView plaintext) {
  if (plaintext.size() > kMaxEnvelope) return fail(ErrorKind::invalid, "envelope: plaintext too long");
  auto content_key = random_secret(kContentKeySize);
  auto iv = random_bytes(kBlock);
  auto encrypted_key = TRY(rsa.oaep_encrypt(content_key.view()).context("envelope"));
  auto ciphertext = TRY(aes_cbc(Direction::encrypt, content_key, iv, plaintext).context("envelope"));
  auto enveloped = join(
      {kVersion, recipient_infos(rsa.fingerprint(), encrypted_key), content_info(iv, ciphertext.view())});
  auto out = indefinite(kSequence, join({value(kOid, kOidEnvelopedData),
                                         indefinite(kContext0, indefinite(kSequence, enveloped))}));
  if (out.size() > kMaxEnvelope) return fail(ErrorKind::invalid, "envelope: plaintext too long");
  return out;
}

}  // namespace cloister::crypto
