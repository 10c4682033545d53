#include "crypto/handles.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>

#include "crypto/digest.h"

namespace cloister::crypto {

namespace {

// Before main, hence before any other call: OpenSSL must not read the configuration file that OPENSSL_CONF or
// the system names (it could load modules and change algorithms: whoever sets the environment would widen
// what we accept), nor tear itself down at exit under threads that still use it.
const bool kConfigured =
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr) == 1;

}  // namespace

void Free::operator()(asn1_string_st* p) const {
  ASN1_STRING_free(p);
}
void Free::operator()(AUTHORITY_KEYID_st* p) const {
  AUTHORITY_KEYID_free(p);
}
void Free::operator()(BASIC_CONSTRAINTS_st* p) const {
  BASIC_CONSTRAINTS_free(p);
}
void Free::operator()(bio_st* p) const {
  BIO_free_all(p);
}
void Free::operator()(ECDSA_SIG_st* p) const {
  ECDSA_SIG_free(p);
}
void Free::operator()(evp_cipher_ctx_st* p) const {
  EVP_CIPHER_CTX_free(p);
}
void Free::operator()(evp_mac_ctx_st* p) const {
  EVP_MAC_CTX_free(p);
}
void Free::operator()(evp_mac_st* p) const {
  EVP_MAC_free(p);
}
void Free::operator()(evp_md_ctx_st* p) const {
  EVP_MD_CTX_free(p);
}
void Free::operator()(evp_pkey_ctx_st* p) const {
  EVP_PKEY_CTX_free(p);
}
void Free::operator()(evp_pkey_st* p) const {
  EVP_PKEY_free(p);
}
void Free::operator()(pkcs8_priv_key_info_st* p) const {
  PKCS8_PRIV_KEY_INFO_free(p);
}
void Free::operator()(ssl_ctx_st* p) const {
  SSL_CTX_free(p);
}
void Free::operator()(ssl_st* p) const {
  SSL_free(p);
}
void Free::operator()(stack_st_GENERAL_NAME* p) const {
  GENERAL_NAMES_free(p);
}
void Free::operator()(stack_st_X509* p) const {
  sk_X509_free(p);
}
void Free::operator()(X509_name_st* p) const {
  X509_NAME_free(p);
}
void Free::operator()(x509_st* p) const {
  X509_free(p);
}
void Free::operator()(x509_store_ctx_st* p) const {
  X509_STORE_CTX_free(p);
}
void Free::operator()(x509_store_st* p) const {
  X509_STORE_free(p);
}

std::unexpected<Error> fail_openssl(ErrorKind kind, std::string_view what) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  auto error = fail(kind, "{}: {}", what, reason != nullptr ? reason : "refused by OpenSSL");
  ERR_clear_error();
  return error;
}

void clear_errors() {
  ERR_clear_error();
}

void require(bool ok, std::string_view what) {
  if (ok) [[likely]]
    return;
  auto line = fmt::format("cloister: crypto: {}\n", what);
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
  std::abort();
}

Handle<bio_st> memory_reader(ByteView bytes) {
  require(bytes.size() <= std::numeric_limits<int>::max(), "input too long for a memory reader");
  static constexpr std::uint8_t kNothing = 0;  // BIO_new_mem_buf refuses a null pointer
  Handle<bio_st> bio(
      BIO_new_mem_buf(bytes.empty() ? &kNothing : bytes.data(), static_cast<int>(bytes.size())));
  require(bio && kConfigured, "out of memory");
  return bio;
}

}  // namespace cloister::crypto
