#include "crypto/rsa_oaep.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

bool choose_oaep_sha256(EVP_PKEY_CTX* context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
}

Handle<EVP_PKEY_CTX> context_for(void* key) {
  return Handle<EVP_PKEY_CTX>(EVP_PKEY_CTX_new_from_pkey(nullptr, static_cast<EVP_PKEY*>(key), nullptr));
}

}  // namespace

Result<Bytes> PublicKey::oaep_encrypt(ByteView plaintext) const {
  if (type() != KeyType::rsa2048) return fail(ErrorKind::invalid, "RSAES-OAEP needs an RSA key");
  auto context = context_for(handle());
  std::size_t size = 0;
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 || !choose_oaep_sha256(context.get()) ||
      EVP_PKEY_encrypt(context.get(), nullptr, &size, plaintext.data(), plaintext.size()) != 1) {
    return fail_openssl(ErrorKind::internal, "RSAES-OAEP");
  }
  Bytes out(size);
  if (EVP_PKEY_encrypt(context.get(), out.data(), &size, plaintext.data(), plaintext.size()) != 1) {
    return fail_openssl(ErrorKind::invalid, "RSAES-OAEP");
  }
  out.resize(size);
  return out;
}

Result<Secret> oaep_decrypt(const PrivateKey& rsa, ByteView ciphertext) {
  auto failed = fail(ErrorKind::corrupt, "RSAES-OAEP does not open");
  if (rsa.type() != KeyType::rsa2048) return failed;
  auto context = context_for(rsa.handle());
  std::size_t size = 0;
  bool ready = context && EVP_PKEY_decrypt_init(context.get()) == 1 && choose_oaep_sha256(context.get()) &&
               EVP_PKEY_decrypt(context.get(), nullptr, &size, ciphertext.data(), ciphertext.size()) == 1;
  Secret padded(ready ? size : 0);
  bool opened = ready && EVP_PKEY_decrypt(context.get(), padded.mutable_view().data(), &size,
                                          ciphertext.data(), ciphertext.size()) == 1;
  clear_errors();
  if (!opened) return failed;
  return Secret(padded.view().first(size));
}

}  // namespace cloister::crypto
