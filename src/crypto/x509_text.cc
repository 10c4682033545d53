#include "crypto/x509_text.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include <array>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

std::string object_name(const ASN1_OBJECT* object) {
  std::array<char, 128> name{};
  int size = OBJ_obj2txt(name.data(), name.size(), object, 0);
  return size > 0 ? std::string(name.data()) : std::string();
}

std::string utf8(const ASN1_STRING* value) {
  unsigned char* text = nullptr;
  int size = ASN1_STRING_to_UTF8(&text, value);
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::string time_text(const ASN1_TIME* time) {
  Handle<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio || ASN1_TIME_print(bio.get(), time) != 1) return {};
  char* text = nullptr;
  long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::map<std::string, std::string> entries_of(const X509_NAME* name) {
  std::map<std::string, std::string> out;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const auto* entry = X509_NAME_get_entry(name, i);
    out[object_name(X509_NAME_ENTRY_get_object(entry))] = utf8(X509_NAME_ENTRY_get_data(entry));
  }
  return out;
}

}  // namespace

CertificateText text_of(const Certificate& certificate) {
  auto* x509 = static_cast<X509*>(certificate.handle());
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(&signature, &algorithm, x509);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  CertificateText out{.issuer = entries_of(X509_get_issuer_name(x509)),
                      .algorithm = object_name(object),
                      .not_before = time_text(X509_get0_notBefore(x509)),
                      .not_after = time_text(X509_get0_notAfter(x509)),
                      .signature = {}};
  const auto* bytes = ASN1_STRING_get0_data(signature);
  out.signature.assign(bytes, bytes + ASN1_STRING_length(signature));
  clear_errors();
  return out;
}

}  // namespace cloister::crypto
