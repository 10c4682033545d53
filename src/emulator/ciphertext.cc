#include "emulator/ciphertext.h"

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "emulator/uuid.h"

namespace cloister::emulator {

namespace {

constexpr std::uint8_t kMagic[] = {'C', 'K', 'M', 1};
constexpr std::size_t kSaltSize = 32;  // bytes
constexpr std::size_t kHeadSize = sizeof kMagic + kUuidSize + sizeof(std::uint32_t) + kSaltSize;
constexpr std::string_view kDerivation = "cloister-kms/blob/v1";

Bytes associated_data(ByteView head, const EncryptionContext& context) {
  Writer out;
  out.bytes(head);
  for (const auto& [name, value] : context) {
    out.u32(static_cast<std::uint32_t>(name.size())).bytes(as_bytes(name));
    out.u32(static_cast<std::uint32_t>(value.size())).bytes(as_bytes(value));
  }
  return std::move(out).take();
}

struct BlobKey {
  Secret key;
  Bytes nonce;
};

BlobKey derive(const Secret& material, ByteView salt) {
  auto both = crypto::hkdf(crypto::Hash::sha256, material.view(), salt, as_bytes(kDerivation),
                           crypto::kGcmKeySize + crypto::kGcmNonceSize);
  return {Secret(both.view().first(crypto::kGcmKeySize)), to_bytes(both.view().subspan(crypto::kGcmKeySize))};
}

}  // namespace

Result<Bytes> seal_blob(const BlobHead& head, const Secret& material, const EncryptionContext& context,
                        ByteView plaintext) {
  auto salt = crypto::random_bytes(kSaltSize);
  Writer writer;
  writer.bytes(kMagic).bytes(TRY(uuid_bytes(head.key_id))).u32(head.material_version).bytes(salt);
  auto out = std::move(writer).take();
  auto associated = associated_data(out, context);
  auto derived = derive(material, salt);
  out.resize(kHeadSize + plaintext.size() + crypto::kGcmTagSize);
  crypto::AesGcm(derived.key)
      .seal(derived.nonce, associated, plaintext, MutableByteView(out).subspan(kHeadSize));
  return out;
}

Result<BlobHead> read_blob_head(ByteView blob) {
  Reader reader(blob);
  auto magic = TRY(reader.bytes(sizeof kMagic));
  if (!std::equal(magic.begin(), magic.end(), kMagic))
    return fail(ErrorKind::corrupt, "not a ciphertext blob of this service");
  BlobHead out;
  out.key_id = uuid_text(TRY(reader.bytes(kUuidSize)));
  out.material_version = TRY(reader.u32());
  TRY(reader.bytes(kSaltSize));
  if (reader.remaining() < crypto::kGcmTagSize)
    return fail(ErrorKind::corrupt, "the ciphertext blob is truncated");
  return out;
}

Result<Secret> open_blob(ByteView blob, const Secret& material, const EncryptionContext& context) {
  TRY(read_blob_head(blob));
  auto head = blob.first(kHeadSize);
  auto derived = derive(material, head.last(kSaltSize));
  auto sealed = blob.subspan(kHeadSize);
  Secret out(sealed.size() - crypto::kGcmTagSize);
  TRY(crypto::AesGcm(derived.key)
          .open(derived.nonce, associated_data(head, context), sealed, out.mutable_view()));
  return out;
}

}  // namespace cloister::emulator
