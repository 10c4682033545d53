// Making certificates. Extensions are built as structures, never through OpenSSL's configuration strings, in
// which a name holding a comma would add entries of its own.
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "crypto/handles.h"
#include "crypto/x509.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kSerialSize = 16;                   // bytes
constexpr std::size_t kKeyIdSize = 20;                    // bytes
constexpr std::size_t kMaxNameEntry = 64;                 // characters, ub-common-name of RFC 5280
constexpr std::size_t kMaxDnsName = 253;                  // characters
constexpr std::size_t kMaxAlternatives = 64;              // names and addresses
constexpr sys::UnixMillis kLatest = 253'402'300'799'000;  // 9999-12-31T23:59:59Z
constexpr int kDigitalSignatureBit = 0;
constexpr int kKeyCertSignBit = 5;
constexpr int kCrlSignBit = 6;

EVP_PKEY* pkey(void* handle) {
  return static_cast<EVP_PKEY*>(handle);
}

bool valid_dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxDnsName && std::ranges::all_of(name, fits) &&
         name.front() != '.' && name.find("..") == std::string_view::npos;
}

Status check_request(const CertificateRequest& request) {
  if (request.common_name.empty() || request.common_name.size() > kMaxNameEntry ||
      request.organization.size() > kMaxNameEntry) {
    return fail(ErrorKind::invalid, "a name is empty or longer than {} bytes", kMaxNameEntry);
  }
  if (request.not_before < 0 || request.not_after < request.not_before || request.not_after > kLatest) {
    return fail(ErrorKind::invalid, "the validity is empty or out of range");
  }
  if (request.path_length >= 0 && !request.authority) {
    return fail(ErrorKind::invalid, "a path length without an authority");
  }
  if (request.dns_names.size() + request.addresses.size() > kMaxAlternatives) {
    return fail(ErrorKind::invalid, "more than {} alternative names", kMaxAlternatives);
  }
  for (const auto& name : request.dns_names) {
    if (!valid_dns_name(name)) return fail(ErrorKind::invalid, "not a DNS name");
  }
  return {};
}

Status check_keys(const PublicKey& subject_key, const Certificate* issuer, const PrivateKey& issuer_key) {
  auto claimed = issuer != nullptr ? TRY(issuer->public_key()) : subject_key;
  if (claimed.fingerprint() != issuer_key.public_key().fingerprint()) {
    return fail(ErrorKind::invalid, "the signing key is not the issuer's");
  }
  return {};
}

bool set_serial(X509* certificate) {
  auto bytes = random_bytes(kSerialSize);
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x3f) | 0x40);  // positive, always of full length
  BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
  bool ok = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return ok;
}

bool add_entry(X509_NAME* name, const char* field, const std::string& text) {
  if (text.empty()) return true;
  auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, static_cast<int>(text.size()), -1,
                                    0) == 1;
}

bool set_names(X509* certificate, const CertificateRequest& request, const Certificate* issuer) {
  Handle<X509_NAME> name(X509_NAME_new());
  if (!name || !add_entry(name.get(), "O", request.organization) ||
      !add_entry(name.get(), "CN", request.common_name) ||
      X509_set_subject_name(certificate, name.get()) != 1) {
    return false;
  }
  auto* signer = issuer != nullptr ? X509_get_subject_name(static_cast<X509*>(issuer->handle())) : name.get();
  return X509_set_issuer_name(certificate, signer) == 1;
}

bool set_validity(X509* certificate, const CertificateRequest& request) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), request.not_before / 1000) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), request.not_after / 1000) != nullptr;
}

bool add_extension(X509* certificate, int nid, void* value, bool critical) {
  return X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

bool add_constraints(X509* certificate, const CertificateRequest& request) {
  Handle<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  if (!constraints) return false;
  constraints->ca = request.authority ? 0xff : 0;
  if (request.path_length >= 0) {
    constraints->pathlen = ASN1_INTEGER_new();
    if (constraints->pathlen == nullptr || ASN1_INTEGER_set(constraints->pathlen, request.path_length) != 1)
      return false;
  }
  return add_extension(certificate, NID_basic_constraints, constraints.get(), true);
}

bool add_key_usage(X509* certificate, bool authority) {
  Handle<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  if (!usage) return false;
  bool ok = authority ? ASN1_BIT_STRING_set_bit(usage.get(), kKeyCertSignBit, 1) == 1 &&
                            ASN1_BIT_STRING_set_bit(usage.get(), kCrlSignBit, 1) == 1
                      : ASN1_BIT_STRING_set_bit(usage.get(), kDigitalSignatureBit, 1) == 1;
  return ok && add_extension(certificate, NID_key_usage, usage.get(), true);
}

// RFC 5280 leaves the derivation open; RFC 7093 truncates SHA-256.
Bytes key_id_of(const PublicKey& key) {
  auto digest = key.fingerprint();
  return {digest.begin(), digest.begin() + kKeyIdSize};
}

Bytes issuer_key_id(const Certificate* issuer, const PrivateKey& issuer_key) {
  const ASN1_OCTET_STRING* stated =
      issuer != nullptr ? X509_get0_subject_key_id(static_cast<X509*>(issuer->handle())) : nullptr;
  if (stated == nullptr) return key_id_of(issuer_key.public_key());
  auto* data = ASN1_STRING_get0_data(stated);
  return {data, data + ASN1_STRING_length(stated)};
}

Handle<ASN1_OCTET_STRING> octets_of(ByteView bytes) {
  Handle<ASN1_OCTET_STRING> out(ASN1_OCTET_STRING_new());
  require(out && ASN1_OCTET_STRING_set(out.get(), bytes.data(), static_cast<int>(bytes.size())) == 1,
          "out of memory");
  return out;
}

bool add_key_ids(X509* certificate, const Bytes& subject, const Bytes& issuer) {
  auto own = octets_of(subject);
  Handle<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  if (!authority) return false;
  authority->keyid = octets_of(issuer).release();
  return add_extension(certificate, NID_subject_key_identifier, own.get(), false) &&
         add_extension(certificate, NID_authority_key_identifier, authority.get(), false);
}

bool push(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (name == nullptr || value == nullptr || sk_GENERAL_NAME_push(names, name) <= 0) {
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  return true;
}

ASN1_STRING* ia5_of(const std::string& text) {
  ASN1_IA5STRING* out = ASN1_IA5STRING_new();
  require(out != nullptr && ASN1_STRING_set(out, text.data(), static_cast<int>(text.size())) == 1,
          "out of memory");
  return out;
}

bool add_alternatives(X509* certificate, const CertificateRequest& request) {
  if (request.dns_names.empty() && request.addresses.empty()) return true;
  Handle<GENERAL_NAMES> names(sk_GENERAL_NAME_new_null());
  if (!names) return false;
  for (const auto& name : request.dns_names) {
    if (!push(names.get(), GEN_DNS, ia5_of(name))) return false;
  }
  for (const auto& address : request.addresses) {
    if (!push(names.get(), GEN_IPADD, a2i_IPADDRESS(address.c_str()))) return false;
  }
  return add_extension(certificate, NID_subject_alt_name, names.get(), false);
}

Result<const EVP_MD*> signing_digest(const PrivateKey& key) {
  switch (key.type()) {
    case KeyType::ed25519:
      return nullptr;
    case KeyType::p256:
      return EVP_sha256();
    case KeyType::p384:
      return EVP_sha384();
    case KeyType::p521:
      return EVP_sha512();
    case KeyType::rsa2048:
    case KeyType::x25519:
      break;
  }
  return fail(ErrorKind::invalid, "this type of key signs no certificates");
}

}  // namespace

Result<Certificate> issue_certificate(const CertificateRequest& request, const PublicKey& subject_key,
                                      const Certificate* issuer, const PrivateKey& issuer_key) {
  TRY(check_request(request).context("issue certificate"));
  TRY(check_keys(subject_key, issuer, issuer_key).context("issue certificate"));
  const EVP_MD* digest = TRY(signing_digest(issuer_key).context("issue certificate"));
  Handle<X509> made(X509_new());
  X509* certificate = made.get();
  bool ok =
      certificate != nullptr && X509_set_version(certificate, X509_VERSION_3) == 1 &&
      set_serial(certificate) && set_names(certificate, request, issuer) &&
      set_validity(certificate, request) && X509_set_pubkey(certificate, pkey(subject_key.handle())) == 1 &&
      add_constraints(certificate, request) && add_key_usage(certificate, request.authority) &&
      add_key_ids(certificate, key_id_of(subject_key), issuer_key_id(issuer, issuer_key)) &&
      add_alternatives(certificate, request) && X509_sign(certificate, pkey(issuer_key.handle()), digest) > 0;
  if (!ok) return fail_openssl(ErrorKind::invalid, "issue certificate");

  std::uint8_t* der = nullptr;
  int size = i2d_X509(certificate, &der);
  if (size <= 0) return fail_openssl(ErrorKind::internal, "issue certificate");
  Bytes encoded(der, der + size);
  OPENSSL_free(der);
  return Certificate::from_der(encoded);
}

}  // namespace cloister::crypto
