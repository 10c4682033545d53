// AES-256-GCM with 96-bit nonces and 128-bit tags (NIST SP 800-38D), one shot.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace cloister::crypto {

inline constexpr std::size_t kGcmKeySize = 32;    // bytes
inline constexpr std::size_t kGcmNonceSize = 12;  // bytes
inline constexpr std::size_t kGcmTagSize = 16;    // bytes

// A key schedule kept for many messages. One thread at a time.
class AesGcm {
 public:
  explicit AesGcm(const Secret& key);  // 32 bytes
  AesGcm(AesGcm&&) noexcept;
  ~AesGcm();

  // out: plaintext.size() + kGcmTagSize bytes, may not overlap plaintext.
  void seal(ByteView nonce, ByteView associated, ByteView plaintext, MutableByteView out);
  // out: ciphertext.size() - kGcmTagSize bytes; wiped when the tag is wrong. corrupt: wrong tag or too short.
  Status open(ByteView nonce, ByteView associated, ByteView ciphertext, MutableByteView out);

 private:
  void* context_;
};

}  // namespace cloister::crypto
