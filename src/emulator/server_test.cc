#include "emulator/server.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "crypto/cms.h"
#include "crypto/tls.h"
#include "emulator/development_root.h"
#include "emulator/installation.h"
#include "emulator/instance_lock.h"
#include "emulator/nsm_emulator.h"
#include "kms/client.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::emulator {
namespace {

constexpr sys::UnixMillis kHour = 3'600'000;
const sys::Deadline kSoon = sys::Deadline::after(sys::seconds(60));

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    std::string pattern = testing::TempDir() + "server-XXXXXX";
    base_ = ::mkdtemp(pattern.data());
    directory_ = base_ + "/it's data";
    EXPECT_TRUE(Installation::init(directory_, Settings{}, clock_.now()).value());
    installation_.emplace(Installation::open(directory_).value());
    root_ = DevelopmentRoot::load_or_create(base_ + "/root", clock_.now()).value();
    roots_ = TrustedRoots({base_ + "/root/root.pem"});
    server_.emplace(
        Server::listen(sys::Endpoint::parse("tcp://127.0.0.1:0").value(), installation_->identity().value())
            .value());
    thread_ = std::thread([this] {
      Api api(installation_->store(), roots_);
      EXPECT_TRUE(server_->run(api, clock_, stop_.read.get(), Log(STDERR_FILENO, "test", LogLevel::error)));
    });
  }
  ~ServerTest() override {
    stop_.write.reset();  // the end of the pipe is readable
    thread_.join();
    installation_.reset();
    std::filesystem::remove_all(base_);
  }

  unsigned port() const {
    auto url = server_->url();
    return static_cast<unsigned>(std::stoul(url.substr(url.rfind(':') + 1)));
  }
  Result<std::unique_ptr<sys::Stream>> connect(const std::string& name,
                                               const std::vector<crypto::Certificate>& trusted) const {
    auto socket =
        TRY(sys::connect(sys::Endpoint::parse(fmt::format("tcp://127.0.0.1:{}", port())).value(), kSoon));
    auto plain = std::make_unique<sys::FdStream>(std::move(socket));
    plain->set_deadline(kSoon);
    return TRY(crypto::web_connect(std::move(plain), name, trusted));
  }
  std::vector<crypto::Certificate> ca() const {
    return crypto::Certificate::list_from_pem(sys::read_file(directory_ + "/ca.pem", kMaxRootFile).value())
        .value();
  }
  kms::Client client(const std::string& name, const sys::Clock& clock) const {
    kms::ClientConfig config;
    config.host = "kms.us-east-1.cloister.test";
    config.region = "us-east-1";
    config.connect = [this](const std::string& host, unsigned, sys::Deadline) { return connect(host, ca()); };
    return {std::move(config), credentials(name), clock};
  }
  kms::Credentials credentials(const std::string& name) const {
    auto text = sys::read_file(directory_ + "/" + name + ".env", kMaxRootFile).value();
    auto value = [&](std::string_view variable) {
      auto all = as_text(text);
      auto at = all.find(fmt::format("export {}=", variable)) + variable.size() + 8;
      return std::string(all.substr(at, all.find('\n', at) - at));
    };
    return {value("AWS_ACCESS_KEY_ID"), Secret(as_bytes(value("AWS_SECRET_ACCESS_KEY"))), {}};
  }

  sys::SystemClock clock_;
  std::string base_;
  std::string directory_;
  std::optional<Installation> installation_;
  std::optional<DevelopmentRoot> root_;
  TrustedRoots roots_;
  sys::Pipe stop_ = sys::make_pipe().value();
  std::optional<Server> server_;
  std::thread thread_;
};

// The whole way: the owner makes a key and a data key, the host asks for it with an enclave's document, the
// envelope opens to the same.
TEST_F(ServerTest, OurClientGoesTheWholeWay) {
  auto owner = client("owner", clock_);
  auto made = owner.create_key({.description = "app", .policy = {}}, kSoon);
  ASSERT_TRUE(made) << made.error().message();
  ASSERT_TRUE(owner.create_alias({"alias/app", made->key_id}, kSoon));
  auto policy = owner.get_key_policy(made->arn, kSoon).value();
  policy.insert(policy.rfind(']'),
                R"(,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/enclave-host"},)"
                R"("Action":"kms:Decrypt","Resource":"*","Condition":{"StringEqualsIgnoreCase":)"
                R"({"kms:RecipientAttestation:PCR0":")" +
                    std::string(96, 'A') + R"("}}})");
  auto put = owner.put_key_policy({.key_id = made->arn, .policy = policy}, kSoon);
  ASSERT_TRUE(put) << put.error().message();
  kms::EncryptionContext context{{"cloister:name", "app"}};
  auto data_key = owner.generate_data_key("alias/app", context, kSoon);
  ASSERT_TRUE(data_key) << data_key.error().message();

  auto rsa = crypto::PrivateKey::generate(crypto::KeyType::rsa2048).value();
  auto device = EmulatedNsm::create(*root_, "i-0-enc0", {{0, Bytes(48, 0xAA)}}, clock_).value();
  auto document = attestation::Nsm(*device)
                      .attest({.user_data = {}, .nonce = {}, .public_key = rsa.public_key().spki()})
                      .value();
  auto host = client("user", clock_);
  auto arn = kms::KeyArn::parse(made->arn).value();
  auto envelope = host.decrypt_for_recipient(arn, data_key->ciphertext, context, document, kSoon);
  ASSERT_TRUE(envelope) << envelope.error().message();
  auto opened = crypto::open_envelope(crypto::EnvelopedData::parse(*envelope).value(), rsa).value();
  EXPECT_TRUE(equal_constant_time(opened.view(), data_key->plaintext.view()));

  ASSERT_TRUE(owner.disable_key(made->arn, kSoon));
  EXPECT_FALSE(host.decrypt_for_recipient(arn, data_key->ciphertext, context, document, kSoon));
}

TEST_F(ServerTest, OurClientCorrectsAWrongClock) {
  sys::FixedClock behind(clock_.now() - kHour);
  auto keys = client("owner", behind).list_keys(kSoon);
  EXPECT_TRUE(keys) << keys.error().message();
}

TEST_F(ServerTest, TheCertificateNamesThisMachineAndItsRegionOnly) {
  for (const char* name :
       {"localhost", "127.0.0.1", "::1", "kms.us-east-1.cloister.test", "kms.cloister.test"}) {
    EXPECT_TRUE(connect(name, ca())) << name;
  }
  EXPECT_FALSE(connect("kms.us-east-1.amazonaws.com", ca()));
  EXPECT_FALSE(connect("kms.eu-west-1.cloister.test", ca()));
  EXPECT_FALSE(connect("localhost", {root_->certificate}));
}

TEST_F(ServerTest, GarbageAndSilenceDoNotStopIt) {
  std::vector<sys::Fd> silent;
  constexpr int kSilent = 20;
  for (int i = 0; i < kSilent; ++i) {
    silent.push_back(
        sys::connect(sys::Endpoint::parse(fmt::format("tcp://127.0.0.1:{}", port())).value(), kSoon).value());
    if (i % 2 != 0) continue;
    ASSERT_TRUE(sys::write_all(silent.back().get(), as_bytes("GET / HTTP/1.1\r\n\r\n"), "send"));
  }
  EXPECT_TRUE(client("owner", clock_).list_keys(kSoon));
}

TEST_F(ServerTest, PlainHttpStaysOnLoopback) {
  auto open = Server::listen(sys::Endpoint::parse("tcp://0.0.0.0:0").value(), {});
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().kind(), ErrorKind::denied);
  auto loopback = Server::listen(sys::Endpoint::parse("tcp://127.0.0.1:0").value(), {});
  ASSERT_TRUE(loopback);
  EXPECT_EQ(loopback->url().rfind("http://127.0.0.1:", 0), 0U);
}

TEST_F(ServerTest, InitStartsOverUntilItIsComplete) {
  auto other = base_ + "/other";
  ASSERT_TRUE(Installation::init(other, Settings{}, clock_.now()).value());
  EXPECT_FALSE(Installation::init(other, Settings{}, clock_.now()).value());
  std::filesystem::remove(other + "/kms.db");
  EXPECT_EQ(Installation::open(other).error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(Installation::init(other, Settings{}, clock_.now()).value());
  EXPECT_TRUE(Installation::open(other));
  for (Settings bad :
       {Settings{.region = "a/b"}, Settings{.region = ""}, Settings{.account = "1"}, Settings{.port = 0}}) {
    EXPECT_EQ(Installation::init(base_ + "/bad", bad, clock_.now()).error().kind(), ErrorKind::invalid);
  }
}

TEST_F(ServerTest, OneHolderAtATime) {
  auto path = base_ + "/lock";
  EXPECT_EQ(InstanceLock::holder(path).error().kind(), ErrorKind::not_found);
  auto ready = sys::make_pipe().value();
  auto child = sys::fork_child([&] {
                 auto lock = InstanceLock::take(path);
                 if (!lock || !sys::write_all(ready.write.get(), as_bytes("x"), "tell")) return 1;
                 return ::pause();
               }).value();
  char byte = 0;
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
  EXPECT_EQ(InstanceLock::holder(path).value(), child.pid());
  EXPECT_EQ(InstanceLock::take(path).error().kind(), ErrorKind::unavailable);
  EXPECT_TRUE(stop_holder(path));
  EXPECT_EQ(child.wait().value().code, SIGTERM);
  EXPECT_TRUE(InstanceLock::take(path));
  EXPECT_EQ(stop_holder(path).error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::emulator
