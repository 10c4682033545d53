#include "crypto/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "crypto/handles.h"

namespace cloister::crypto {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

using Transport = std::unique_ptr<sys::Stream>;
using Tls = Result<std::unique_ptr<TlsStream>>;

constexpr sys::milliseconds kPatience{10'000};

struct Wire {
  Transport client;
  Transport server;
};

Wire wire() {
  auto pair = *sys::make_socket_pair(SOCK_STREAM);
  Wire out{std::make_unique<sys::FdStream>(std::move(pair.first)),
           std::make_unique<sys::FdStream>(std::move(pair.second))};
  for (auto* stream : {out.client.get(), out.server.get()})
    stream->set_deadline(sys::Deadline::after(kPatience));
  return out;
}

struct Ends {
  Tls client;
  Tls server;
};

// Both ends of a handshake at once. An end that fails drops its transport, so the other one ends too.
Ends shake(Wire wire, const std::function<Tls(Transport)>& client,
           const std::function<Tls(Transport)>& server) {
  auto accepted = std::async(std::launch::async, [&] { return server(std::move(wire.server)); });
  auto connected = client(std::move(wire.client));
  return {std::move(connected), accepted.get()};
}

const TlsIdentity& identity(int which) {
  static const TlsIdentity kIdentities[] = {*TlsIdentity::generate("client"),
                                            *TlsIdentity::generate("server")};
  return kIdentities[which];
}

Ends attested(const TlsIdentity& client = identity(0), const TlsIdentity& server = identity(1)) {
  return shake(
      wire(), [&](Transport s) { return attested_connect(std::move(s), client); },
      [&](Transport s) { return attested_accept(std::move(s), server); });
}

std::string read_text(TlsStream& stream, std::size_t size) {
  Bytes out(size);
  auto read = sys::read_exactly(stream, out);
  return read ? std::string(as_text(out)) : read.error().message();
}

TEST(AttestedTls, BothSidesLearnTheOthersKey) {
  auto [client, server] = attested();
  ASSERT_TRUE(client) << client.error().message();
  ASSERT_TRUE(server) << server.error().message();
  EXPECT_EQ((*client)->peer_key()->fingerprint(), identity(1).key.public_key().fingerprint());
  EXPECT_EQ((*server)->peer_key()->fingerprint(), identity(0).key.public_key().fingerprint());
}

TEST(AttestedTls, KeysOfEverySigningType) {
  for (auto type : {KeyType::ed25519, KeyType::p384, KeyType::p256}) {
    auto other = *TlsIdentity::from_key(*PrivateKey::generate(type), "client");
    auto [client, server] = attested(other, other);
    ASSERT_TRUE(client) << client.error().message();
    ASSERT_TRUE(server) << server.error().message();
    EXPECT_EQ((*server)->peer_key()->type(), type);
  }
  EXPECT_FALSE(TlsIdentity::from_key(*PrivateKey::generate(KeyType::rsa2048), "client"));
}

TEST(AttestedTls, ExporterBindsBothEndsToOneConnection) {
  auto first = attested();
  auto second = attested();
  auto of = [](const Tls& end) { return *(*end)->exporter(); };
  EXPECT_EQ(of(first.client), of(first.server));
  EXPECT_EQ(of(second.client), of(second.server));
  EXPECT_NE(of(first.client), of(second.client));
  EXPECT_EQ(of(first.client), of(first.client));
}

TEST(AttestedTls, DataBothWaysAndOrderlyEnd) {
  auto [client, server] = attested();
  const auto sent = random_bytes(1 << 20);
  auto echo = std::async(std::launch::async, [&server = **server] {
    Bytes buffer(10'000);
    for (;;) {
      auto n = server.read_some(buffer);
      if (!n || *n == 0) return n && server.shutdown_write().has_value();
      if (!server.write_all(ByteView(buffer).first(*n))) return false;
    }
  });
  Bytes received;
  Bytes chunk(65'536);
  for (std::size_t at = 0; at < sent.size(); at += chunk.size()) {
    ASSERT_TRUE((*client)->write_all(ByteView(sent).subspan(at, chunk.size())));
    ASSERT_TRUE(sys::read_exactly(**client, chunk));
    append(received, chunk);
  }
  EXPECT_EQ(received, sent);
  ASSERT_TRUE((*client)->shutdown_write());
  ASSERT_TRUE((*client)->shutdown_write());
  EXPECT_EQ(*(*client)->read_some(chunk), 0u);
  EXPECT_EQ(*(*client)->read_some(chunk), 0u);
  EXPECT_TRUE(echo.get());
  EXPECT_FALSE((*client)->write_all(Bytes(1)));
}

TEST(AttestedTls, PendingShowsWhatPollCannot) {
  auto [client, server] = attested();
  EXPECT_FALSE((*server)->pending());
  ASSERT_TRUE((*client)->write_all(as_bytes("hello")));
  EXPECT_EQ(read_text(**server, 1), "h");
  EXPECT_TRUE((*server)->pending());
  EXPECT_EQ(read_text(**server, 4), "ello");
  EXPECT_FALSE((*server)->pending());
}

TEST(AttestedTls, HalfClosedStreamStillReads) {
  auto [client, server] = attested();
  ASSERT_TRUE((*client)->shutdown_write());
  Bytes buffer(10);
  EXPECT_EQ(*(*server)->read_some(buffer), 0u);
  ASSERT_TRUE((*server)->write_all(as_bytes("late")));
  EXPECT_EQ(read_text(**client, 4), "late");
}

TEST(AttestedTls, CutStreamIsAnErrorNotAnEnd) {
  auto [client, server] = attested();
  ASSERT_TRUE((*client)->write_all(as_bytes("all my")));
  client->reset();  // the transport closes; no close_notify
  EXPECT_EQ(read_text(**server, 6), "all my");
  Bytes buffer(10);
  auto n = (*server)->read_some(buffer);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().kind(), ErrorKind::unavailable);
  EXPECT_FALSE((*server)->read_some(buffer));
}

TEST(AttestedTls, DeadlineIsTheTransportsAndReadingGoesOn) {
  auto [client, server] = attested();
  (*server)->set_deadline(sys::Deadline::after(sys::milliseconds(20)));
  Bytes buffer(10);
  auto n = (*server)->read_some(buffer);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().kind(), ErrorKind::unavailable);
  EXPECT_THAT(n.error().message(), HasSubstr("timed out"));
  (*server)->set_deadline(sys::Deadline::after(kPatience));
  ASSERT_TRUE((*client)->write_all(as_bytes("hello")));
  EXPECT_EQ(read_text(**server, 5), "hello");
}

TEST(AttestedTls, SilentPeerEndsTheHandshakeAtTheDeadline) {
  auto ends = wire();
  ends.server->set_deadline(sys::Deadline::after(sys::milliseconds(20)));
  auto server = attested_accept(std::move(ends.server), identity(1));
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().kind(), ErrorKind::unavailable);
}

// A transport between the two ends that changes one byte of what passes, from a given position on.
class Tampering final : public sys::Stream {
 public:
  Tampering(Transport inner, std::size_t position) : inner_(std::move(inner)), left_(position) {}
  Result<std::size_t> read_some(MutableByteView buffer) override {
    auto n = TRY(inner_->read_some(buffer));
    if (left_ < n) buffer[left_] ^= 1;
    left_ = left_ < n ? SIZE_MAX : left_ - n;
    return n;
  }
  Status write_all(ByteView bytes) override { return inner_->write_all(bytes); }
  Status shutdown_write() override { return inner_->shutdown_write(); }
  void set_deadline(sys::Deadline deadline) override { inner_->set_deadline(deadline); }
  int descriptor() const override { return inner_->descriptor(); }

 private:
  Transport inner_;
  std::size_t left_;
};

TEST(AttestedTls, TamperedRecordsAreCorrupt) {
  // Past the handshake: a position that no handshake of these keys reaches (two short certificates).
  constexpr std::size_t kPast = 8'000;
  auto [client, server] = shake(
      wire(), [&](Transport s) { return attested_connect(std::move(s), identity(0)); },
      [&](Transport s) {
        return attested_accept(std::make_unique<Tampering>(std::move(s), kPast), identity(1));
      });
  ASSERT_TRUE(client && server);
  auto writer = std::async(std::launch::async,
                           [&client = **client] { return client.write_all(Bytes(20'000, 'x')).has_value(); });
  Bytes buffer(20'000);
  Status read = sys::read_exactly(**server, buffer);
  writer.get();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
}

// Hostile and other peers, by OpenSSL itself on the raw socket.
struct RawClient {
  Handle<SSL_CTX> context{SSL_CTX_new(TLS_client_method())};
  Handle<SSL> ssl;
  sys::Fd socket;
  int tickets = 0;

  RawClient() {
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
  // Shakes hands with attested_accept() in a thread of its own and gives that end.
  Tls meet(const std::function<void(SSL*)>& prepare = {}, const std::function<void(SSL*)>& afterwards = {}) {
    auto pair = *sys::make_socket_pair(SOCK_STREAM);
    socket = std::move(pair.first);
    auto server = std::async(std::launch::async, [&] {
      auto stream = std::make_unique<sys::FdStream>(std::move(pair.second));
      stream->set_deadline(sys::Deadline::after(kPatience));
      return attested_accept(std::move(stream), identity(1));
    });
    ssl.reset(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), socket.get());
    if (prepare) prepare(ssl.get());
    SSL_connect(ssl.get());
    if (afterwards) afterwards(ssl.get());
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

// A peer that never stops talking, but says nothing, must not hold a reader beyond its deadline.
TEST(AttestedTls, EndlessKeyUpdatesDoNotOutliveTheDeadline) {
  RawClient client;
  client.show(identity(0));
  auto server = client.meet();
  ASSERT_TRUE(server);
  std::atomic<bool> stop = false;
  std::thread talker([&] {
    while (!stop && SSL_key_update(client.ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
           SSL_do_handshake(client.ssl.get()) == 1) {
    }
    ERR_clear_error();
  });
  (*server)->set_deadline(sys::Deadline::after(sys::milliseconds(50)));
  Bytes buffer(10);
  EXPECT_FALSE((*server)->read_some(buffer));
  stop = true;
  server->reset();
  talker.join();
}

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
