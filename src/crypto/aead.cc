#include "crypto/aead.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kMostAtOnce = 1 << 30;  // bytes; OpenSSL counts in int

EVP_CIPHER_CTX* cipher(void* context) {
  return static_cast<EVP_CIPHER_CTX*>(context);
}

// Associated data when out is null, else text of equal length.
bool update(EVP_CIPHER_CTX* context, ByteView in, std::uint8_t* out) {
  while (!in.empty()) {
    auto part = in.first(std::min(in.size(), kMostAtOnce));
    int written = 0;
    if (EVP_CipherUpdate(context, out, &written, part.data(), static_cast<int>(part.size())) != 1)
      return false;
    if (out != nullptr) out += written;
    in = in.subspan(part.size());
  }
  return true;
}

// The key stays from the constructor; GCM uses the same schedule both ways.
bool start(EVP_CIPHER_CTX* context, ByteView nonce, ByteView associated, int encrypt) {
  return EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce.data(), encrypt) == 1 &&
         update(context, associated, nullptr);
}

}  // namespace

AesGcm::AesGcm(const Secret& key) : context_(EVP_CIPHER_CTX_new()) {
  require(key.size() == kGcmKeySize, "AES-256-GCM key of a wrong size");
  require(context_ != nullptr && EVP_CipherInit_ex(cipher(context_), EVP_aes_256_gcm(), nullptr,
                                                   key.view().data(), nullptr, 1) == 1,
          "AES-256-GCM failed");
}

AesGcm::AesGcm(AesGcm&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

AesGcm::~AesGcm() {
  EVP_CIPHER_CTX_free(cipher(context_));
}

void AesGcm::seal(ByteView nonce, ByteView associated, ByteView plaintext, MutableByteView out) {
  require(nonce.size() == kGcmNonceSize && out.size() == plaintext.size() + kGcmTagSize,
          "AES-256-GCM with wrong sizes");
  auto tag = out.last(kGcmTagSize);
  int none = 0;
  bool ok = start(cipher(context_), nonce, associated, 1) &&
            update(cipher(context_), plaintext, out.data()) &&
            EVP_CipherFinal_ex(cipher(context_), tag.data(), &none) == 1 &&
            EVP_CIPHER_CTX_ctrl(cipher(context_), EVP_CTRL_AEAD_GET_TAG, kGcmTagSize, tag.data()) == 1;
  require(ok, "AES-256-GCM failed");
}

Status AesGcm::open(ByteView nonce, ByteView associated, ByteView ciphertext, MutableByteView out) {
  if (ciphertext.size() < kGcmTagSize) return fail(ErrorKind::corrupt, "ciphertext shorter than its tag");
  require(nonce.size() == kGcmNonceSize && out.size() == ciphertext.size() - kGcmTagSize,
          "AES-256-GCM with wrong sizes");
  auto tag = ciphertext.last(kGcmTagSize);
  std::uint8_t rest[kGcmTagSize];  // a final block that GCM never has
  int none = 0;
  bool ok = start(cipher(context_), nonce, associated, 0) &&
            update(cipher(context_), ciphertext.first(out.size()), out.data()) &&
            EVP_CIPHER_CTX_ctrl(cipher(context_), EVP_CTRL_AEAD_SET_TAG, kGcmTagSize,
                                const_cast<std::uint8_t*>(tag.data())) == 1 &&
            EVP_CipherFinal_ex(cipher(context_), rest, &none) == 1;
  if (ok) return {};
  wipe(out);
  clear_errors();
  return fail(ErrorKind::corrupt, "wrong tag");
}

}  // namespace cloister::crypto
