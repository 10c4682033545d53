// AES-128-CBC, decryption only, in pieces: for Fernet tokens, which others wrote. CBC alone proves nothing
// about what it decrypts, and this says nothing about padding: look at either only after a MAC over the
// ciphertext.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace cloister::crypto {

inline constexpr std::size_t kAesBlock = 16;       // bytes
inline constexpr std::size_t kAes128KeySize = 16;  // bytes

// One ciphertext from its beginning on. Not thread-safe.
class AesCbcDecryption {
 public:
  AesCbcDecryption(const Secret& key, ByteView iv);  // kAes128KeySize and kAesBlock bytes
  AesCbcDecryption(const AesCbcDecryption&) = delete;
  AesCbcDecryption& operator=(const AesCbcDecryption&) = delete;
  ~AesCbcDecryption();

  // Whole blocks; out has as many bytes and may not overlap them.
  void decrypt(ByteView blocks, MutableByteView out);

 private:
  void* context_;
};

}  // namespace cloister::crypto
