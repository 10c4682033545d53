#include "boot/init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "attestation/nsm_message.h"
#include "boot/entropy.h"
#include "boot/heartbeat.h"
#include "codec/cose.h"
#include "sys/stream.h"

namespace cloister::boot {
namespace {

using testing::HasSubstr;

// A module that gives what a test wants it to give, request by request.
class FakeModule final : public attestation::NsmDevice {
 public:
  using Give = std::function<attestation::NsmResponse(const attestation::NsmRequest&)>;
  explicit FakeModule(Give give) : give_(std::move(give)) {}
  Result<Bytes> exchange(ByteView request) override {
    ++asked;
    return attestation::encode_response(give_(attestation::parse_request(request).value()));
  }
  int asked = 0;

 private:
  Give give_;
};

attestation::NsmResponse random_of(Bytes bytes) {
  return attestation::GetRandomResponse{.random = std::move(bytes)};
}

Bytes counting(std::size_t size, std::uint8_t from) {
  Bytes out(size);
  for (auto& byte : out) byte = from++;
  return out;
}

class Entropy : public testing::Test {
 protected:
  Status seed(FakeModule& module) {
    attestation::Nsm nsm(module);
    return seed_kernel(nsm, [this](ByteView bytes) -> Status {
      credited_ += bytes.size();
      return credit_;
    });
  }
  std::size_t credited_ = 0;
  Status credit_;
};

TEST_F(Entropy, IsAskedForUntilThereIsEnough) {
  std::uint8_t start = 0;
  FakeModule module([&](const auto&) { return random_of(counting(256, start++)); });
  ASSERT_TRUE(seed(module));
  EXPECT_EQ(credited_, 512U);
  EXPECT_EQ(module.asked, 2);
}

// Fails closed, each time: a machine without randomness must not make a key.
TEST_F(Entropy, ThatIsNoneIsNotCredited) {
  FakeModule zeros([](const auto&) { return random_of(Bytes(256, 0)); });
  EXPECT_THAT(seed(zeros).error().message(), HasSubstr("randomness is none"));
  FakeModule repeating([](const auto&) { return random_of(counting(256, 5)); });
  EXPECT_THAT(seed(repeating).error().message(), HasSubstr("randomness is none"));
  std::uint8_t start = 0;
  FakeModule miserly([&](const auto&) { return random_of(counting(4, start++)); });
  EXPECT_THAT(seed(miserly).error().message(), HasSubstr("gave 256 bytes"));
  EXPECT_EQ(miserly.asked, static_cast<int>(kMaxSeedRequests));
  FakeModule refusing([](const auto&) { return attestation::NsmErrorCode::internal_error; });
  EXPECT_FALSE(seed(refusing));
}

TEST_F(Entropy, ThatTheKernelRefusesIsAnError) {
  credit_ = fail(ErrorKind::denied, "no");
  FakeModule module([](const auto&) { return random_of(counting(256, 1)); });
  EXPECT_EQ(seed(module).error().kind(), ErrorKind::denied);
}

TEST(Clock, IsNotSetByWhatIsNoDocumentOrTooOld) {
  FakeModule nonsense([](const auto&) { return attestation::AttestationResponse{.document = Bytes(16, 1)}; });
  attestation::Nsm nsm(nonsense);
  EXPECT_EQ(set_clock_by(nsm).error().kind(), ErrorKind::corrupt);
}

// The error is about the time: that nobody signed it did not matter.
TEST(Clock, AsksForNoSignatureOfItsOwnModule) {
  attestation::Document document{.module_id = "i-1-enc1",
                                 .digest = "SHA384",
                                 .timestamp = 1,
                                 .pcrs = {{0, Bytes(attestation::kPcrSize)}},
                                 .certificate = Bytes(64),
                                 .cabundle = {Bytes(64)}};
  codec::CoseSign1 unsigned_one{.protected_headers = codec::encode_cose_algorithm(-1),
                                .payload = attestation::encode_payload(document),
                                .signature = Bytes(64)};
  FakeModule module(
      [&](const auto&) { return attestation::AttestationResponse{.document = unsigned_one.encode()}; });
  attestation::Nsm nsm(module);
  EXPECT_THAT(set_clock_by(nsm).error().message(), HasSubstr("lies before"));
}

TEST(Registers, AreAllLocked) {
  unsigned range = 0;
  FakeModule module([&](const attestation::NsmRequest& request) -> attestation::NsmResponse {
    if (const auto* lock = std::get_if<attestation::LockPcrsRequest>(&request)) {
      range = lock->range;
      return attestation::LockPcrsResponse{};
    }
    attestation::NsmDescription description;
    description.module_id = "i-1-enc1";
    description.max_pcrs = 32;
    description.digest = "SHA384";
    return description;
  });
  attestation::Nsm nsm(module);
  ASSERT_TRUE(lock_registers(nsm));
  EXPECT_EQ(range, 32U);
}

TEST(Heartbeat, IsOneByteThatComesBack) {
  auto path = fmt::format("{}heartbeat-{}", testing::TempDir(), ::getpid());
  auto endpoint = sys::Endpoint::unix_socket(path);
  auto listener = sys::listen(endpoint).value();
  for (std::uint8_t answer : {kHeartbeat, std::uint8_t{1}}) {
    std::uint8_t heard = 0;
    std::thread parent([&] {
      sys::FdStream stream(sys::accept(listener.get()).value());
      EXPECT_TRUE(sys::read_exactly(stream, {&heard, 1}));
      EXPECT_TRUE(stream.write_all({&answer, 1}));
    });
    auto sent = send_heartbeat(endpoint);
    parent.join();
    EXPECT_EQ(heard, 0xb7);
    EXPECT_EQ(sent.has_value(), answer == kHeartbeat);
  }
  listener.reset();
  EXPECT_FALSE(send_heartbeat(endpoint));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace cloister::boot
