#include "crypto/x509.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

#include <algorithm>
#include <optional>

#include "crypto/handles.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kMaxPemBundle = 4 * 1024 * 1024;  // bytes; a distribution's CA bundle has about 250 KiB
constexpr std::size_t kMaxPemCertificates = 2048;

X509* x509(void* handle) {
  return static_cast<X509*>(handle);
}

Bytes der_of(X509* certificate) {
  std::uint8_t* der = nullptr;
  int size = i2d_X509(certificate, &der);
  require(size > 0, "certificate without an encoding");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

std::optional<sys::UnixMillis> millis_of(const ASN1_TIME* time) {
  tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return static_cast<sys::UnixMillis>(::timegm(&parts)) * 1000;
}

sys::UnixMillis known_millis_of(const ASN1_TIME* time) {
  auto millis = millis_of(time);
  require(millis.has_value(), "certificate without a validity");  // from_der has looked
  return *millis;
}

std::string text_of(BIO* bio) {
  char* text = nullptr;
  long size = BIO_get_mem_data(bio, &text);
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace

Result<Certificate> Certificate::from_der(ByteView der) {
  if (der.empty() || der.size() > kMaxCertificate) {
    return fail(ErrorKind::invalid, "certificate of {} bytes", der.size());
  }
  const std::uint8_t* at = der.data();
  Handle<X509> parsed(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed) return fail_openssl(ErrorKind::invalid, "certificate");
  // Also catches trailing bytes and a frame in BER: one certificate has one encoding and one fingerprint.
  if (!std::ranges::equal(der_of(parsed.get()), der)) return fail(ErrorKind::invalid, "certificate: not DER");
  bool dated = millis_of(X509_get0_notBefore(parsed.get())) && millis_of(X509_get0_notAfter(parsed.get()));
  clear_errors();
  if (!dated) return fail(ErrorKind::invalid, "certificate: malformed validity");
  return Certificate(std::shared_ptr<void>(parsed.release(), [](void* p) { X509_free(x509(p)); }));
}

Result<std::vector<Certificate>> Certificate::list_from_pem(ByteView pem) {
  if (pem.size() > kMaxPemBundle)
    return fail(ErrorKind::exhausted, "certificates: over {} bytes", kMaxPemBundle);
  auto bio = memory_reader(pem);
  std::vector<Certificate> out;
  for (;;) {
    char* label = nullptr;
    char* header = nullptr;
    std::uint8_t* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &label, &header, &data, &size) != 1) break;
    Bytes der(data, data + size);
    bool plain = std::string_view(label) == PEM_STRING_X509 && *header == '\0';
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(data);
    if (!plain) return fail(ErrorKind::invalid, "certificates: a PEM block that is no plain certificate");
    if (out.size() == kMaxPemCertificates) {
      return fail(ErrorKind::exhausted, "certificates: more than {}", kMaxPemCertificates);
    }
    out.push_back(TRY(from_der(der)));
  }
  bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return fail_openssl(ErrorKind::invalid, "certificates");
  clear_errors();
  if (out.empty()) return fail(ErrorKind::invalid, "certificates: none in this PEM file");
  return out;
}

Bytes Certificate::der() const {
  return der_of(x509(handle()));
}

std::string Certificate::pem() const {
  Handle<BIO> bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_X509(bio.get(), x509(handle())) == 1, "certificate without an encoding");
  return text_of(bio.get());
}

Result<PublicKey> Certificate::public_key() const {
  std::uint8_t* der = nullptr;
  int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509(handle())), &der);
  if (size <= 0) return fail_openssl(ErrorKind::invalid, "certificate's public key");
  Bytes spki(der, der + size);
  OPENSSL_free(der);
  return PublicKey::from_spki(spki).context("certificate");
}

std::string Certificate::subject() const {
  Handle<BIO> bio(BIO_new(BIO_s_mem()));
  bool written =
      bio && X509_NAME_print_ex(bio.get(), X509_get_subject_name(x509(handle())), 0, XN_FLAG_RFC2253) >= 0;
  clear_errors();
  return written ? text_of(bio.get()) : std::string();
}

sys::UnixMillis Certificate::not_before() const {
  return known_millis_of(X509_get0_notBefore(x509(handle())));
}

sys::UnixMillis Certificate::not_after() const {
  return known_millis_of(X509_get0_notAfter(x509(handle())));
}

Sha256 Certificate::fingerprint() const {
  return sha256(der());
}

}  // namespace cloister::crypto
