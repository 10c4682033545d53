#include "crypto/cbc.h"

#include <limits.h>
#include <openssl/evp.h>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

EVP_CIPHER_CTX* cipher(void* context) {
  return static_cast<EVP_CIPHER_CTX*>(context);
}

}  // namespace

AesCbcDecryption::AesCbcDecryption(const Secret& key, ByteView iv) : context_(EVP_CIPHER_CTX_new()) {
  require(key.size() == kAes128KeySize && iv.size() == kAesBlock, "AES-128-CBC with wrong sizes");
  require(context_ != nullptr &&
              EVP_DecryptInit_ex(cipher(context_), EVP_aes_128_cbc(), nullptr, key.view().data(),
                                 iv.data()) == 1 &&
              EVP_CIPHER_CTX_set_padding(cipher(context_), 0) == 1,
          "AES-128-CBC failed");
}

AesCbcDecryption::~AesCbcDecryption() {
  EVP_CIPHER_CTX_free(cipher(context_));
}

void AesCbcDecryption::decrypt(ByteView blocks, MutableByteView out) {
  require(blocks.size() % kAesBlock == 0 && blocks.size() <= INT_MAX && out.size() == blocks.size(),
          "AES-128-CBC with wrong sizes");
  int written = 0;
  bool ok = EVP_DecryptUpdate(cipher(context_), out.data(), &written, blocks.data(),
                              static_cast<int>(blocks.size())) == 1;
  require(ok && static_cast<std::size_t>(written) == blocks.size(), "AES-128-CBC failed");
}

}  // namespace cloister::crypto
