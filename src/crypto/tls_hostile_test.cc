// Peers that are not ours, by OpenSSL itself on the raw socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "crypto/handles.h"
#include "crypto/tls_testing.h"

namespace cloister::crypto {
namespace {

using ::testing::HasSubstr;

struct RawClient {
  Handle<SSL_CTX> context{SSL_CTX_new(TLS_client_method())};
  Handle<SSL> ssl;
  sys::Fd socket;
  int tickets = 0;

  RawClient() {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL's socket BIO writes to peers that are gone
    SSL_CTX_set_ex_data(context.get(), 0, this);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(context.get(), [](SSL* s, SSL_SESSION*) {
      ++static_cast<RawClient*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(s), 0))->tickets;
      return 0;
    });
  }
  void show(const TlsIdentity& who) {
    SSL_CTX_use_certificate(context.get(), static_cast<X509*>(who.certificate.handle()));
    SSL_CTX_use_PrivateKey(context.get(), static_cast<EVP_PKEY*>(who.key.handle()));
  }
  // Shakes hands with `accept` (attested unless told) in a thread of its own and gives that end.
  Tls meet(const std::function<void(SSL*)>& prepare = {}, std::function<Tls(Transport)> accept = {}) {
    if (!accept) accept = [](Transport s) { return attested_accept(std::move(s), identity(1)); };
    auto pair = *sys::make_socket_pair(SOCK_STREAM);
    socket = std::move(pair.first);
    auto server = std::async(std::launch::async, [&] {
      auto stream = std::make_unique<sys::FdStream>(std::move(pair.second));
      stream->set_deadline(sys::Deadline::after(kPatience));
      return accept(std::move(stream));
    });
    ssl.reset(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), socket.get());
    if (prepare) prepare(ssl.get());
    SSL_connect(ssl.get());
    auto result = server.get();
    if (!result) socket.reset();
    ERR_clear_error();
    return result;
  }
};

TEST(AttestedTls, RefusesTls12) {
  RawClient client;
  client.show(identity(0));
  SSL_CTX_set_max_proto_version(client.context.get(), TLS1_2_VERSION);
  auto server = client.meet();
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().kind(), ErrorKind::denied);
  EXPECT_THAT(server.error().message(), HasSubstr("unsupported protocol"));
}

TEST(AttestedTls, RefusesClientsWithoutCertificate) {
  RawClient client;
  auto server = client.meet();
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().kind(), ErrorKind::denied);
  EXPECT_THAT(server.error().message(), HasSubstr("did not return a certificate"));
}

TEST(AttestedTls, RefusesOtherGroups) {
  RawClient client;
  client.show(identity(0));
  SSL_CTX_set1_groups_list(client.context.get(), "P-521:X448");
  EXPECT_FALSE(client.meet());
}

TEST(AttestedTls, RefusesChainsAndKeysItCannotName) {
  RawClient chained;
  chained.show(identity(0));
  SSL_CTX_add1_chain_cert(chained.context.get(), static_cast<X509*>(identity(1).certificate.handle()));
  auto server = chained.meet();
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message(), HasSubstr("certificate"));

  RawClient huge;
  auto key = *PrivateKey::generate(KeyType::p256);
  CertificateRequest request{.common_name = "huge", .not_after = 4'000'000'000'000};
  for (int i = 0; i < 64; ++i) request.dns_names.push_back(std::string(240, 'x') + std::to_string(i));
  huge.show({key, *issue_certificate(request, key.public_key(), nullptr, key)});
  EXPECT_GT(issue_certificate(request, key.public_key(), nullptr, key)->der().size(), 15'000u);
  SSL_CTX_add1_chain_cert(huge.context.get(), SSL_CTX_get0_certificate(huge.context.get()));
  auto refused = huge.meet();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("excessive message size"));
}

Handle<EVP_PKEY> forged_key(EVP_PKEY* public_half, EVP_PKEY* private_half) {
  BIGNUM* number = nullptr;
  std::uint8_t point[65];
  std::size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_bn_param(private_half, OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
  EXPECT_EQ(EVP_PKEY_get_octet_string_param(public_half, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size),
            1);
  Bytes scalar(32);
  BN_bn2nativepad(number, scalar.data(), 32);
  BN_free(number);
  char group[] = "prime256v1";
  OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                         OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, size),
                         OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar.data(), scalar.size()),
                         OSSL_PARAM_construct_end()};
  Handle<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* made = nullptr;
  EXPECT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, params), 1);
  return Handle<EVP_PKEY>(made);
}

// The holder of another key shows our certificate: the proof of possession must fail.
TEST(AttestedTls, RefusesBorrowedCertificates) {
  const TlsIdentity thief{*PrivateKey::generate(KeyType::p256), identity(0).certificate};
  auto honest = attested(thief, identity(1));
  EXPECT_FALSE(honest.client);  // our own side refuses to try

  // A client that signs all the same: its key has the public half of the certificate and another private one.
  RawClient client;
  client.show(identity(0));
  auto forged = forged_key(static_cast<EVP_PKEY*>(identity(0).key.handle()),
                           static_cast<EVP_PKEY*>(thief.key.handle()));
  auto server = client.meet([&](SSL* ssl) { ASSERT_EQ(SSL_use_PrivateKey(ssl, forged.get()), 1); });
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().kind(), ErrorKind::denied);
  EXPECT_THAT(server.error().message(), HasSubstr("bad signature"));
}

TEST(AttestedTls, NoTicketEverAndNoResumption) {
  RawClient client;
  client.show(identity(0));
  auto first = client.meet();
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_TRUE((*first)->write_all(as_bytes("hello")));
  char buffer[5];
  ASSERT_EQ(SSL_read(client.ssl.get(), buffer, 5), 5);  // would also have taken in tickets
  EXPECT_EQ(client.tickets, 0);
  SSL_SESSION* session = SSL_get1_session(client.ssl.get());
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(SSL_SESSION_is_resumable(session), 0);
  SSL_shutdown(client.ssl.get());

  auto second = client.meet([&](SSL* ssl) { SSL_set_session(ssl, session); });
  SSL_SESSION_free(session);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(SSL_session_reused(client.ssl.get()), 0);
  EXPECT_EQ(client.tickets, 0);
  EXPECT_EQ((*second)->peer_key()->fingerprint(), identity(0).key.public_key().fingerprint());
}

SSL_SESSION* made_up_session(SSL* ssl) {
  const Bytes secret(32, 0x42);
  SSL_SESSION* session = SSL_SESSION_new();
  static constexpr std::uint8_t kAes128GcmSha256[] = {0x13, 0x01};
  EXPECT_EQ(SSL_SESSION_set1_master_key(session, secret.data(), secret.size()), 1);
  EXPECT_EQ(SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, kAes128GcmSha256)), 1);
  EXPECT_EQ(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION), 1);
  EXPECT_EQ(SSL_SESSION_set_max_early_data(session, 16'384), 1);
  return session;
}

void offer_psk(RawClient& client) {
  SSL_CTX_set_psk_use_session_callback(
      client.context.get(),
      [](SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* size, SSL_SESSION** session) {
        static constexpr std::uint8_t kName[] = {'p', 's', 'k'};
        *id = kName;
        *size = sizeof kName;
        *session = made_up_session(ssl);
        return 1;
      });
}

TEST(AttestedTls, PskIsIgnored) {
  RawClient client;
  client.show(identity(0));
  offer_psk(client);
  auto server = client.meet();
  ASSERT_TRUE(server) << server.error().message();
  EXPECT_EQ(SSL_session_reused(client.ssl.get()), 0);
  EXPECT_EQ((*server)->peer_key()->fingerprint(), identity(0).key.public_key().fingerprint());
}

TEST(AttestedTls, EarlyDataIsRefused) {
  RawClient client;
  client.show(identity(0));
  offer_psk(client);
  auto server = client.meet([](SSL* ssl) {
    std::size_t written = 0;
    EXPECT_EQ(SSL_write_early_data(ssl, "early", 5, &written), 1);
  });
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().kind(), ErrorKind::denied);
  EXPECT_THAT(server.error().message(), HasSubstr("early data"));
}

// A peer that always has bytes ready, but says nothing with them, must not hold a reader beyond its deadline:
// one look at the transport, and no second one.
TEST(AttestedTls, FloodOfKeyUpdatesDoesNotOutliveTheDeadline) {
  RawClient client;
  client.show(identity(0));
  auto server = client.meet();
  ASSERT_TRUE(server);
  SSL_set0_wbio(client.ssl.get(), BIO_new(BIO_s_mem()));
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(client.ssl.get()), 1);
  }
  char* flood = nullptr;
  long size = BIO_get_mem_data(SSL_get_wbio(client.ssl.get()), &flood);
  ASSERT_GT(size, 100'000);
  ASSERT_EQ(::send(client.socket.get(), flood, static_cast<std::size_t>(size), MSG_DONTWAIT), size);

  (*server)->set_deadline(sys::Deadline::after(sys::milliseconds(0)));
  Bytes buffer(10);
  auto n = (*server)->read_some(buffer);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().kind(), ErrorKind::unavailable);
  int left = 0;
  ASSERT_EQ(::ioctl((*server)->descriptor(), FIONREAD, &left), 0);
  EXPECT_GT(left, 0);
}

TEST(WebTls, Tls12ButNoOlderAndNoExporter) {
  auto accept = [](Transport s) {
    return web_accept(std::move(s), identity(1).key, {identity(1).certificate});
  };
  RawClient client;
  SSL_CTX_set_max_proto_version(client.context.get(), TLS1_2_VERSION);
  auto server = client.meet({}, accept);
  ASSERT_TRUE(server) << server.error().message();
  ASSERT_TRUE((*server)->write_all(as_bytes("hello")));
  char buffer[5];
  EXPECT_EQ(SSL_read(client.ssl.get(), buffer, 5), 5);
  EXPECT_EQ(client.tickets, 0);
  EXPECT_EQ((*server)->exporter().error().kind(), ErrorKind::invalid);

  RawClient old;
  SSL_CTX_set_security_level(old.context.get(), 0);
  SSL_CTX_set_max_proto_version(old.context.get(), TLS1_1_VERSION);
  EXPECT_FALSE(old.meet({}, accept));
}

}  // namespace
}  // namespace cloister::crypto
