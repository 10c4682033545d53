#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/tls_testing.h"

namespace cloister::crypto {
namespace {

using ::testing::HasSubstr;

constexpr sys::UnixMillis kDay = 86'400'000;

struct Web {
  PrivateKey root_key = *PrivateKey::generate(KeyType::p384);
  PrivateKey key = *PrivateKey::generate(KeyType::p256);
  Certificate root = authority();

  Certificate authority() const {
    auto now = sys::SystemClock().now();
    CertificateRequest request{
        .common_name = "root", .authority = true, .not_before = now - 2 * kDay, .not_after = now + kDay};
    return *issue_certificate(request, root_key.public_key(), nullptr, root_key);
  }
  Certificate leaf(const std::function<void(CertificateRequest&)>& change = {}) const {
    auto now = sys::SystemClock().now();
    CertificateRequest request{.common_name = "kms.test",
                               .dns_names = {"kms.test", "*.wild.test"},
                               .addresses = {"127.0.0.1", "::1"},
                               .not_before = now - kDay,
                               .not_after = now + kDay};
    if (change) change(request);
    return *issue_certificate(request, key.public_key(), &root, root_key);
  }
  Ends meet(const std::string& host, const Certificate& certificate,
            const std::vector<Certificate>& trusted) const {
    return shake(
        wire(), [&](Transport s) { return web_connect(std::move(s), host, trusted); },
        [&](Transport s) { return web_accept(std::move(s), key, {certificate}); });
  }
  void refused(const std::string& host, const Certificate& certificate,
               const std::vector<Certificate>& trusted, const char* why) const {
    auto ends = meet(host, certificate, trusted);
    ASSERT_FALSE(ends.client) << why;
    EXPECT_EQ(ends.client.error().kind(), ErrorKind::denied);
    EXPECT_THAT(ends.client.error().message(), HasSubstr(why));
  }
};

TEST(WebTls, AcceptsNamesAndAddressesOfTheCertificate) {
  Web web;
  for (auto host : {"kms.test", "KMS.test", "a.wild.test", "127.0.0.1", "::1"}) {
    auto [client, server] = web.meet(host, web.leaf(), {web.root});
    ASSERT_TRUE(client) << host << ": " << client.error().message();
    ASSERT_TRUE(server) << server.error().message();
    ASSERT_TRUE((*server)->write_all(as_bytes("hello")));
    EXPECT_EQ(read_text(**client, 5), "hello");
    EXPECT_EQ((*client)->peer_key()->fingerprint(), web.key.public_key().fingerprint());
    EXPECT_EQ((*server)->peer_key().error().kind(), ErrorKind::not_found);
  }
}

TEST(WebTls, RefusesOtherHosts) {
  Web web;
  web.refused("other.test", web.leaf(), {web.root}, "mismatch");
  web.refused("a.kms.test", web.leaf(), {web.root}, "mismatch");
  web.refused("a.b.wild.test", web.leaf(), {web.root}, "mismatch");
  web.refused("127.0.0.2", web.leaf(), {web.root}, "mismatch");
  auto name_only_in_subject = web.leaf([](auto& request) { request.dns_names.clear(); });
  web.refused("kms.test", name_only_in_subject, {web.root}, "mismatch");
  auto address_as_name = web.leaf([](auto& request) {
    request.addresses.clear();
    request.dns_names = {"127.0.0.1"};
  });
  web.refused("127.0.0.1", address_as_name, {web.root}, "mismatch");
}

TEST(WebTls, RefusesUntrustedRoots) {
  Web web;
  Web other;
  web.refused("kms.test", web.leaf(), {other.root}, "certificate");
  web.refused("kms.test", web.leaf(), {}, "certificate");
}

TEST(WebTls, RefusesExpiredAndFutureCertificates) {
  Web web;
  web.refused("kms.test", web.leaf([](auto& request) { request.not_after -= kDay + 60'000; }), {web.root},
              "expired");
  web.refused("kms.test", web.leaf([](auto& request) { request.not_before += kDay + 600'000; }), {web.root},
              "not yet valid");
}

TEST(WebTls, RefusesMalformedHosts) {
  Web web;
  for (const auto& host : {std::string(), std::string(300, 'a'), std::string("kms.test\0.evil", 14)}) {
    auto refused = web_connect(std::move(wire().client), host, {web.root});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
  }
}

TEST(WebTls, KeyMustMatchItsCertificate) {
  Web web;
  auto refused = web_accept(std::move(wire().server), web.root_key, {web.leaf()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
  EXPECT_FALSE(web_accept(std::move(wire().server), web.key, {}));
}

TEST(WebTls, NoWebServerPassesForAnAttestedOne) {
  Web web;
  auto ends = shake(
      wire(), [&](Transport s) { return web_connect(std::move(s), "kms.test", {web.root}); },
      [&](Transport s) { return attested_accept(std::move(s), identity(1)); });
  EXPECT_FALSE(ends.client);
  EXPECT_FALSE(ends.server);
}

}  // namespace
}  // namespace cloister::crypto
