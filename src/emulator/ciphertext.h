// The ciphertext blobs of the embedded KMS. Big-endian, version 1:
//
//   "CKM" 0x01 | key id (16 bytes, the UUID) | material version (4) | salt (32) | AES-256-GCM ciphertext and
//   tag
//
// Each blob has a key and a nonce of its own, HKDF-SHA-256 of the key material with the salt, so that the
// number of blobs under one material has no practical limit. Associated data: everything before the
// ciphertext, then the encryption context, its entries in the order of their bytes, each name and value with
// its length (4 bytes) before it.
#pragma once

#include <string>

#include "base/secret.h"
#include "emulator/parameters.h"

namespace cloister::emulator {

struct BlobHead {
  std::string key_id;
  std::uint32_t material_version = 0;
};

Result<Bytes> seal_blob(const BlobHead& head, const Secret& material, const EncryptionContext& context,
                        ByteView plaintext);

// corrupt: not such a blob.
Result<BlobHead> read_blob_head(ByteView blob);
// corrupt: other material, another context, changed bytes.
Result<Secret> open_blob(ByteView blob, const Secret& material, const EncryptionContext& context);

}  // namespace cloister::emulator
