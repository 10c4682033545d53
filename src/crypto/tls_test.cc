#include "crypto/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/tls_testing.h"

namespace cloister::crypto {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace cloister::crypto
