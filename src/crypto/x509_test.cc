#include "crypto/x509.h"

#include "crypto/x509_testing.h"
#include "sys/file.h"

namespace cloister::crypto {
namespace {

TEST(Certificate, RoundTrip) {
  auto party = issue(request("leaf", false), nullptr);
  const auto& made = party.certificate;
  auto again = Certificate::from_der(made.der());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->fingerprint(), sha256(made.der()));
  EXPECT_EQ(again->subject(), "CN=leaf,O=Cloister tests");
  EXPECT_EQ(again->not_before(), kNow - kDay);
  EXPECT_EQ(again->not_after(), kNow + kDay);
  EXPECT_EQ(again->public_key()->fingerprint(), party.key.public_key().fingerprint());
}

TEST(Certificate, RefusesTrailingTruncatedAndOtherEncodings) {
  auto der = issue(request("leaf", false), nullptr).certificate.der();
  auto longer = der;
  longer.push_back(0);
  EXPECT_FALSE(Certificate::from_der(longer));
  for (std::size_t size = 0; size < der.size(); ++size) {
    ASSERT_FALSE(Certificate::from_der(ByteView(der).first(size))) << size;
  }
  Bytes indefinite{0x30, 0x80};  // the outer SEQUENCE in BER
  append(indefinite, ByteView(der).subspan(4));
  append(indefinite, Bytes{0, 0});
  EXPECT_FALSE(Certificate::from_der(indefinite));
  EXPECT_FALSE(Certificate::from_der(Bytes(kMaxCertificate + 1, 0x30)));
}

TEST(Certificate, PemLists) {
  Tree tree;
  auto text = "a comment\n" + tree.root.certificate.pem() + "\n" + tree.upper.certificate.pem();
  auto list = Certificate::list_from_pem(as_bytes(text));
  ASSERT_TRUE(list) << list.error().message();
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[1].fingerprint(), tree.upper.certificate.fingerprint());

  EXPECT_FALSE(Certificate::list_from_pem({}));
  EXPECT_FALSE(Certificate::list_from_pem(as_bytes("nothing here")));
  auto key = tree.root.key.to_pem();
  EXPECT_FALSE(Certificate::list_from_pem(as_bytes(text + std::string(as_text(key.view())))));
  EXPECT_FALSE(Certificate::list_from_pem(as_bytes(text.substr(0, text.size() - 40))));
}

TEST(Certificate, SubjectEscapesWhatWouldForgeFields) {
  auto what = request("a,O=Amazon\n\x1b[31m", false);
  what.organization.clear();
  auto made = issue(what, nullptr).certificate;
  EXPECT_EQ(made.subject(), "CN=a\\,O=Amazon\\0A\\1B[31m");
}

TEST(IssueCertificate, ExtensionsAreAsStated) {
  Tree tree;
  auto* authority = static_cast<X509*>(tree.lower.certificate.handle());
  EXPECT_EQ(X509_get_version(authority), X509_VERSION_3);
  EXPECT_EQ(X509_get_key_usage(authority), static_cast<std::uint32_t>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  EXPECT_EQ(X509_get_pathlen(authority), 0);
  auto* leaf = static_cast<X509*>(tree.leaf.certificate.handle());
  EXPECT_EQ(X509_get_key_usage(leaf), static_cast<std::uint32_t>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(X509_get_extension_flags(leaf) & EXFLAG_CA, 0u);
  for (auto* certificate : {authority, leaf}) {
    for (int nid : {NID_basic_constraints, NID_key_usage}) {
      int at = X509_get_ext_by_NID(certificate, nid, -1);
      ASSERT_GE(at, 0);
      EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(certificate, at)), 1);
    }
    EXPECT_EQ(ASN1_STRING_length(X509_get0_serialNumber(certificate)), 16);
  }
  EXPECT_EQ(ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(authority), X509_get0_authority_key_id(leaf)), 0);
}

TEST(IssueCertificate, DigestFollowsTheIssuersKey) {
  auto nid = [](KeyType type) {
    return X509_get_signature_nid(
        static_cast<X509*>(issue(request("x", false), nullptr, type).certificate.handle()));
  };
  EXPECT_EQ(nid(KeyType::ed25519), NID_ED25519);
  EXPECT_EQ(nid(KeyType::p256), NID_ecdsa_with_SHA256);
  EXPECT_EQ(nid(KeyType::p384), NID_ecdsa_with_SHA384);
}

TEST(IssueCertificate, Refusals) {
  auto key = *PrivateKey::generate(KeyType::p256);
  auto refuses = [&](const std::function<void(CertificateRequest&)>& spoil) {
    auto what = request("x", false);
    spoil(what);
    auto made = issue_certificate(what, key.public_key(), nullptr, key);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().kind(), ErrorKind::invalid);
  };
  refuses([](auto& what) { what.common_name.clear(); });
  refuses([](auto& what) { what.common_name = std::string(65, 'x'); });
  refuses([](auto& what) { what.common_name = "\xff\xfe"; });
  refuses([](auto& what) { what.not_after = what.not_before - 1000; });
  refuses([](auto& what) { what.path_length = 0; });
  refuses([](auto& what) { what.dns_names = {"a,DNS:b"}; });
  refuses([](auto& what) { what.dns_names = {std::string("good.example\0.evil", 18)}; });
  refuses([](auto& what) { what.dns_names = {"a.*.example"}; });
  refuses([](auto& what) { what.dns_names = {""}; });
  refuses([](auto& what) { what.addresses = {"127.0.0"}; });
  refuses([](auto& what) { what.addresses = {"example.org"}; });

  auto other = *PrivateKey::generate(KeyType::p256);
  EXPECT_FALSE(issue_certificate(request("x", false), key.public_key(), nullptr, other));
  Tree tree;
  EXPECT_FALSE(
      issue_certificate(request("x", false), key.public_key(), &tree.root.certificate, tree.upper.key));
  auto rsa = *PrivateKey::generate(KeyType::rsa2048);
  EXPECT_FALSE(issue_certificate(request("x", false), rsa.public_key(), nullptr, rsa));
}

TEST(VerifyChain, AcceptsItsOwnShape) {
  Tree tree;
  auto verified = tree.verify();
  EXPECT_TRUE(verified) << verified.error().message();
  EXPECT_TRUE(tree.verify(kNow - kDay));
  EXPECT_TRUE(tree.verify(kNow + kDay - 1));
  auto direct = issue(request("direct", false), &tree.root);
  EXPECT_TRUE(verify_chain(direct.certificate, {}, tree.root.certificate, kNow));
}

TEST(VerifyChain, ValidityOfEveryCertificate) {
  Tree tree;
  expect_denied(tree.verify(kNow - kDay - 1), "not valid yet");
  expect_denied(tree.verify(kNow + kDay), "expired");
  for (int which = 0; which < 3; ++which) {
    auto short_lived = [&](std::string name, bool authority, int at) {
      auto what = request(std::move(name), authority);
      if (at == which) what.not_after = kNow - 1000;
      return what;
    };
    Party root = issue(short_lived("root", true, 0), nullptr);
    Party middle = issue(short_lived("middle", true, 1), &root);
    Party leaf = issue(short_lived("leaf", false, 2), &middle);
    EXPECT_TRUE(verify_chain(leaf.certificate, {middle.certificate}, root.certificate, kNow - 2000));
    expect_denied(verify_chain(leaf.certificate, {middle.certificate}, root.certificate, kNow), "expired");
  }
}

TEST(VerifyChain, EveryCertificateInOrderAndNoneBesides) {
  Tree tree;
  const auto& [root, upper, lower, leaf] = tree;
  auto verify = [&](std::vector<Certificate> intermediates) {
    return verify_chain(leaf.certificate, intermediates, root.certificate, kNow);
  };
  EXPECT_FALSE(verify({}));
  EXPECT_FALSE(verify({lower.certificate, upper.certificate}));
  EXPECT_FALSE(verify({upper.certificate}));
  EXPECT_FALSE(verify({lower.certificate}));
  EXPECT_FALSE(verify({root.certificate, upper.certificate, lower.certificate}));
  EXPECT_FALSE(verify({upper.certificate, upper.certificate, lower.certificate}));
  EXPECT_FALSE(verify({upper.certificate, lower.certificate, lower.certificate}));
  EXPECT_FALSE(verify({upper.certificate, lower.certificate, leaf.certificate}));
  auto unrelated = issue(request("unrelated", true), &root);
  EXPECT_FALSE(verify({unrelated.certificate, upper.certificate, lower.certificate}));
  expect_denied(verify(std::vector<Certificate>(kMaxChain - 1, upper.certificate)), "longer than");
}

TEST(VerifyChain, AnotherRootOfTheSameName) {
  Tree tree;
  Tree twin;
  EXPECT_FALSE(verify_chain(tree.leaf.certificate, tree.intermediates(), twin.root.certificate, kNow));
  EXPECT_FALSE(verify_chain(twin.leaf.certificate, tree.intermediates(), tree.root.certificate, kNow));
  // An intermediate is no root, and nor is a self-signed leaf.
  EXPECT_FALSE(verify_chain(tree.leaf.certificate, {tree.lower.certificate}, tree.upper.certificate, kNow));
  auto alone = issue(request("alone", false), nullptr).certificate;
  EXPECT_FALSE(verify_chain(alone, {}, alone, kNow));
}

TEST(VerifyChain, FlippedSignatures) {
  Tree tree;
  auto flipped = [](const Certificate& certificate) {
    auto der = certificate.der();
    der[der.size() - 1] ^= 1;
    return *Certificate::from_der(der);
  };
  expect_denied(
      verify_chain(flipped(tree.leaf.certificate), tree.intermediates(), tree.root.certificate, kNow),
      "signature does not verify");
  EXPECT_FALSE(verify_chain(tree.leaf.certificate, {flipped(tree.upper.certificate), tree.lower.certificate},
                            tree.root.certificate, kNow));
  EXPECT_FALSE(
      verify_chain(tree.leaf.certificate, tree.intermediates(), flipped(tree.root.certificate), kNow));
}

TEST(VerifyChain, PathLength) {
  Party root = issue(request("root", true), nullptr);
  Party none = issue(request("none below", true, 0), &root);
  Party below = issue(request("below", true), &none);
  Party leaf = issue(request("leaf", false), &below);
  expect_denied(verify_chain(leaf.certificate, {none.certificate, below.certificate}, root.certificate, kNow),
                "path length");
}

TEST(VerifyChain, LeavesDoNotIssue) {
  Tree tree;
  auto victim = issue(request("victim", false), &tree.leaf);
  auto intermediates = tree.intermediates();
  intermediates.push_back(tree.leaf.certificate);
  expect_denied(verify_chain(victim.certificate, intermediates, tree.root.certificate, kNow), "no authority");
}

TEST(VerifyChain, AuthoritiesAreNoLeaves) {
  Tree tree;
  expect_denied(verify_chain(tree.lower.certificate, {tree.upper.certificate}, tree.root.certificate, kNow),
                "authority");
}

// Finds the certificates of a real attestation document by their outer SEQUENCE: leaf, then root to issuer.
std::vector<Certificate> certificates_in(ByteView bytes) {
  std::vector<Certificate> out;
  for (std::size_t at = 0; at + 4 < bytes.size(); ++at) {
    if (bytes[at] != 0x30 || bytes[at + 1] != 0x82) continue;
    std::size_t size = 4 + (static_cast<std::size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
    if (size > bytes.size() - at) continue;
    auto certificate = Certificate::from_der(bytes.subspan(at, size));
    if (!certificate) continue;
    out.push_back(*std::move(certificate));
    at += size - 1;
  }
  return out;
}

TEST(VerifyChain, RealNitroChains) {
  const std::string data = CLOISTER_TEST_DATA "/attestation/";
  auto root =
      Certificate::from_der(*sys::read_file(data + "aws-nitro-enclaves-root-g1.der", kMaxCertificate));
  ASSERT_TRUE(root) << root.error().message();
  for (auto name : {"debug-2022-10.cbor", "debug-2023-09.cbor", "production-2022-10.cbor"}) {
    auto found = certificates_in(*sys::read_file(data + name, 64 * 1024));
    ASSERT_EQ(found.size(), 5u) << name;
    ASSERT_EQ(found[1].fingerprint(), root->fingerprint());
    const std::vector<Certificate> intermediates(found.begin() + 2, found.end());
    auto at = found[0].not_before() + 3'600'000;
    auto verified = verify_chain(found[0], intermediates, *root, at);
    EXPECT_TRUE(verified) << verified.error().message();
    expect_denied(verify_chain(found[0], intermediates, *root, at + kDay), "expired");
    EXPECT_FALSE(verify_chain(found[0], intermediates, found[2], at));
    EXPECT_EQ(found[0].public_key()->type(), KeyType::p384);
  }
}

}  // namespace
}  // namespace cloister::crypto
