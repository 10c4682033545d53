// Authorities and leaves for the tests of chains, and certificates changed as no honest issuer would.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <functional>

#include "crypto/handles.h"
#include "crypto/x509.h"

namespace cloister::crypto {

inline constexpr sys::UnixMillis kDay = 86'400'000;
inline constexpr sys::UnixMillis kNow = 1'700'000'000'000;  // 2023-11-14

inline CertificateRequest request(std::string name, bool authority, int path_length = -1) {
  return {.common_name = std::move(name),
          .organization = "Cloister tests",
          .authority = authority,
          .path_length = path_length,
          .not_before = kNow - kDay,
          .not_after = kNow + kDay};
}

struct Party {
  PrivateKey key;
  Certificate certificate;
};

inline Party issue(const CertificateRequest& what, const Party* issuer, KeyType type = KeyType::p384) {
  auto key = *PrivateKey::generate(type);
  auto made = issue_certificate(what, key.public_key(), issuer != nullptr ? &issuer->certificate : nullptr,
                                issuer != nullptr ? issuer->key : key);
  EXPECT_TRUE(made) << made.error().message();
  return {std::move(key), *std::move(made)};
}

// The shape of a Nitro chain: root, two authorities, a leaf.
struct Tree {
  Party root = issue(request("root", true), nullptr);
  Party upper = issue(request("upper", true, 1), &root);
  Party lower = issue(request("lower", true, 0), &upper);
  Party leaf = issue(request("leaf", false), &lower);

  std::vector<Certificate> intermediates() const { return {upper.certificate, lower.certificate}; }
  Status verify(sys::UnixMillis at = kNow) const {
    return verify_chain(leaf.certificate, intermediates(), root.certificate, at);
  }
};

inline void expect_denied(const Status& status, const char* why) {
  ASSERT_FALSE(status) << why;
  EXPECT_EQ(status.error().kind(), ErrorKind::denied);
  EXPECT_THAT(status.error().message(), ::testing::HasSubstr(why));
}

// The certificate changed by `edit` and signed again by its issuer, as no honest issuer would.
inline Certificate edited(const Certificate& certificate, const PrivateKey& issuer_key,
                          const std::function<void(X509*)>& edit, const EVP_MD* digest = EVP_sha384()) {
  Handle<X509> copy(X509_dup(static_cast<X509*>(certificate.handle())));
  edit(copy.get());
  EXPECT_GT(X509_sign(copy.get(), static_cast<EVP_PKEY*>(issuer_key.handle()), digest), 0);
  std::uint8_t* der = nullptr;
  int size = i2d_X509(copy.get(), &der);
  auto made = Certificate::from_der({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  EXPECT_TRUE(made) << made.error().message();
  return *made;
}

inline void drop_extension(X509* certificate, int nid) {
  int at = X509_get_ext_by_NID(certificate, nid, -1);
  ASSERT_GE(at, 0);
  X509_EXTENSION_free(X509_delete_ext(certificate, at));
}

inline void set_extension(X509* certificate, int nid, const char* value) {
  if (X509_get_ext_by_NID(certificate, nid, -1) >= 0) drop_extension(certificate, nid);
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  ASSERT_NE(made, nullptr);
  X509_add_ext(certificate, made, -1);
  X509_EXTENSION_free(made);
}

}  // namespace cloister::crypto
