// What a certificate may say and be, in a chain whose signatures all hold.
#include <openssl/core_names.h>

#include "crypto/x509_testing.h"

namespace cloister::crypto {
namespace {

// What each extension says is honoured although the signatures all hold.
TEST(VerifyChain, ExtensionsOfIssuers) {
  Tree tree;
  auto with_lower = [&](const std::function<void(X509*)>& edit) {
    auto lower = edited(tree.lower.certificate, tree.upper.key, edit);
    return verify_chain(tree.leaf.certificate, {tree.upper.certificate, lower}, tree.root.certificate, kNow);
  };
  auto unchanged = with_lower([](X509*) {});
  EXPECT_TRUE(unchanged) << unchanged.error().message();
  expect_denied(with_lower([](X509* c) { drop_extension(c, NID_basic_constraints); }), "no authority");
  expect_denied(with_lower([](X509* c) { set_extension(c, NID_basic_constraints, "CA:TRUE"); }),
                "not critical");
  expect_denied(with_lower([](X509* c) { set_extension(c, NID_basic_constraints, "critical,CA:FALSE"); }),
                "no authority");
  expect_denied(with_lower([](X509* c) { drop_extension(c, NID_key_usage); }), "keyCertSign");
  expect_denied(with_lower([](X509* c) { set_extension(c, NID_key_usage, "critical,digitalSignature"); }),
                "keyCertSign");
  expect_denied(with_lower([](X509* c) { X509_set_version(c, X509_VERSION_1); }), "version 3");
}

TEST(VerifyChain, NameConstraints) {
  Tree tree;
  auto what = request("leaf", false);
  what.dns_names = {"kms.example"};
  auto leaf = issue(what, &tree.lower).certificate;
  auto within = [&](const char* constraint) {
    auto lower = edited(tree.lower.certificate, tree.upper.key,
                        [&](X509* c) { set_extension(c, NID_name_constraints, constraint); });
    return verify_chain(leaf, {tree.upper.certificate, lower}, tree.root.certificate, kNow);
  };
  EXPECT_TRUE(within("critical,permitted;DNS:example"));
  expect_denied(within("critical,permitted;DNS:other.example"), "permitted subtree");
}

TEST(VerifyChain, ExtensionsOfTheLeaf) {
  Tree tree;
  auto with_leaf = [&](const std::function<void(X509*)>& edit, const EVP_MD* digest = EVP_sha384()) {
    auto leaf = edited(tree.leaf.certificate, tree.lower.key, edit, digest);
    return verify_chain(leaf, tree.intermediates(), tree.root.certificate, kNow);
  };
  EXPECT_TRUE(with_leaf([](X509*) {}));
  expect_denied(with_leaf([](X509* c) { set_extension(c, NID_key_usage, "critical,keyEncipherment"); }),
                "digitalSignature");
  expect_denied(with_leaf([](X509* c) {
                  set_extension(c, NID_netscape_comment, "x");
                  X509_EXTENSION* unknown = X509_get_ext(c, X509_get_ext_by_NID(c, NID_netscape_comment, -1));
                  X509_EXTENSION_set_critical(unknown, 1);
                }),
                "critical");
  expect_denied(with_leaf([](X509*) {}, EVP_sha1()), "algorithm");
  expect_denied(with_leaf([](X509*) {}, EVP_sha512()), "algorithm");
}

TEST(VerifyChain, WhatTheLeafIsFor) {
  Tree tree;
  auto with_leaf = [&](const std::function<void(X509*)>& edit) {
    auto leaf = edited(tree.leaf.certificate, tree.lower.key, edit);
    return verify_chain(leaf, tree.intermediates(), tree.root.certificate, kNow);
  };
  expect_denied(with_leaf([](X509* c) { drop_extension(c, NID_key_usage); }), "digitalSignature");
  expect_denied(with_leaf([](X509* c) { set_extension(c, NID_ext_key_usage, "serverAuth"); }),
                "for another purpose");
  EXPECT_TRUE(with_leaf([](X509* c) { set_extension(c, NID_ext_key_usage, "anyExtendedKeyUsage"); }));
  EXPECT_TRUE(with_leaf([](X509* c) { drop_extension(c, NID_basic_constraints); }));
}

TEST(VerifyChain, ExtensionsTwiceOrWithBytesAfterThem) {
  Tree tree;
  auto with_lower = [&](const std::function<void(X509*)>& edit) {
    auto lower = edited(tree.lower.certificate, tree.upper.key, edit);
    return verify_chain(tree.leaf.certificate, {tree.upper.certificate, lower}, tree.root.certificate, kNow);
  };
  expect_denied(with_lower([](X509* c) {
                  X509_EXTENSION* again = X509_get_ext(c, X509_get_ext_by_NID(c, NID_basic_constraints, -1));
                  X509_add_ext(c, again, -1);
                }),
                "stands twice");
  for (int nid : {NID_basic_constraints, NID_key_usage, NID_subject_key_identifier}) {
    expect_denied(with_lower([nid](X509* c) {
                    auto* value = X509_EXTENSION_get_data(X509_get_ext(c, X509_get_ext_by_NID(c, nid, -1)));
                    auto* data = ASN1_STRING_get0_data(value);
                    Bytes longer(data, data + ASN1_STRING_length(value));
                    longer.push_back(0);
                    ASN1_OCTET_STRING_set(value, longer.data(), static_cast<int>(longer.size()));
                  }),
                  "bytes after the value");
  }
}

TEST(VerifyChain, OtherKeys) {
  Tree tree;
  auto leaf = issue(request("leaf", false), &tree.lower, KeyType::p256);
  expect_denied(verify_chain(leaf.certificate, tree.intermediates(), tree.root.certificate, kNow),
                "named curve P-384");
  auto upper = issue(request("upper", true), &tree.root, KeyType::p256);
  auto below = issue(request("below", false), &upper);
  expect_denied(verify_chain(below.certificate, {upper.certificate}, tree.root.certificate, kNow),
                "algorithm");
  auto resigned = edited(below.certificate, upper.key, [](X509*) {});
  expect_denied(verify_chain(resigned, {upper.certificate}, tree.root.certificate, kNow),
                "named curve P-384");
}

// The same key with its curve spelt out as parameters (CVE-2020-0601 was a verifier that took those).
TEST(VerifyChain, ACurveSpeltOut) {
  Tree tree;
  auto leaf = edited(tree.leaf.certificate, tree.lower.key, [&](X509* c) {
    Handle<EVP_PKEY> spelt(EVP_PKEY_dup(static_cast<EVP_PKEY*>(tree.leaf.key.handle())));
    ASSERT_EQ(EVP_PKEY_set_utf8_string_param(spelt.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
    ASSERT_EQ(X509_set_pubkey(c, spelt.get()), 1);
  });
  ASSERT_GT(leaf.der().size(), tree.leaf.certificate.der().size() + 100);
  expect_denied(verify_chain(leaf, tree.intermediates(), tree.root.certificate, kNow), "named curve P-384");
}

}  // namespace
}  // namespace cloister::crypto
