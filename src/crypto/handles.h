// What OpenSSL gives, owned from birth; and how its failures become ours. Names its types without its
// headers, so that they stay inside the .cc files of this room.
#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.h"

struct asn1_string_st;
struct AUTHORITY_KEYID_st;
struct BASIC_CONSTRAINTS_st;
struct bio_st;
struct ECDSA_SIG_st;
struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;
struct evp_mac_st;
struct evp_md_ctx_st;
struct evp_md_st;
struct evp_pkey_ctx_st;
struct evp_pkey_st;
struct pkcs8_priv_key_info_st;
struct ssl_ctx_st;
struct ssl_st;
struct stack_st_GENERAL_NAME;
struct stack_st_X509;
struct X509_name_st;
struct x509_st;
struct x509_store_ctx_st;
struct x509_store_st;

namespace cloister::crypto {

enum class Hash;
const evp_md_st* md_of(Hash hash);

struct Free {
  void operator()(asn1_string_st* p) const;
  void operator()(AUTHORITY_KEYID_st* p) const;
  void operator()(BASIC_CONSTRAINTS_st* p) const;
  void operator()(bio_st* p) const;
  void operator()(ECDSA_SIG_st* p) const;
  void operator()(evp_cipher_ctx_st* p) const;
  void operator()(evp_mac_ctx_st* p) const;
  void operator()(evp_mac_st* p) const;
  void operator()(evp_md_ctx_st* p) const;
  void operator()(evp_pkey_ctx_st* p) const;
  void operator()(evp_pkey_st* p) const;
  void operator()(pkcs8_priv_key_info_st* p) const;
  void operator()(ssl_ctx_st* p) const;
  void operator()(ssl_st* p) const;
  void operator()(stack_st_GENERAL_NAME* p) const;
  void operator()(stack_st_X509* p) const;  // references to certificates held elsewhere
  void operator()(X509_name_st* p) const;
  void operator()(x509_st* p) const;
  void operator()(x509_store_ctx_st* p) const;
  void operator()(x509_store_st* p) const;
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

// "what: OpenSSL's reason" from the thread's error queue, which is empty afterwards. Reasons name functions
// and formats, never data.
[[nodiscard]] std::unexpected<Error> fail_openssl(ErrorKind kind, std::string_view what);

// Drops what earlier calls left in the thread's error queue.
void clear_errors();

// For what fails only when memory runs out or by our own defect, in functions that have no way to say so:
// going on with garbage would be worse than ending the process.
void require(bool ok, std::string_view what);

// A BIO that reads from memory somebody else holds.
Handle<bio_st> memory_reader(ByteView bytes);

}  // namespace cloister::crypto
