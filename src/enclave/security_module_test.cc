#include "enclave/security_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <thread>

#include "enclave/messages.h"

namespace cloister::enclave {
namespace {

using testing::HasSubstr;

class FakeDevice final : public attestation::NsmDevice {
 public:
  explicit FakeDevice(std::function<Result<Bytes>(ByteView)> answer) : answer_(std::move(answer)) {}
  Result<Bytes> exchange(ByteView request) override { return answer_(request); }

 private:
  std::function<Result<Bytes>(ByteView)> answer_;
};

class SecurityModule : public testing::Test {
 protected:
  // Serves `answer` in a thread, as the module's process would.
  RemoteNsm serve(std::function<Result<Bytes>(ByteView)> answer) {
    auto pair = sys::make_socket_pair(SOCK_SEQPACKET).value();
    server_ = std::thread([device = FakeDevice(std::move(answer)),
                           peer = sys::MessageSocket(std::move(pair.second))]() mutable {
      EXPECT_FALSE(run_security_module(peer, device));  // until the peer is gone
    });
    return RemoteNsm(sys::MessageSocket(std::move(pair.first)));
  }
  ~SecurityModule() override {
    if (server_.joinable()) server_.join();
  }

 private:
  std::thread server_;
};

TEST_F(SecurityModule, PassesRequestsAndAnswersUnread) {
  auto nsm = serve([](ByteView request) -> Result<Bytes> {
    Bytes out(request.rbegin(), request.rend());
    return out;
  });
  EXPECT_EQ(nsm.exchange(as_bytes("abc")).value(), to_bytes(as_bytes("cba")));
  EXPECT_EQ(nsm.exchange({}).value(), Bytes());
  Bytes largest(attestation::kMaxNsmRequest, 7);
  EXPECT_EQ(nsm.exchange(largest).value(), largest);
}

TEST_F(SecurityModule, RefusesWhatDoesNotFitItsMessages) {
  auto nsm = serve([](ByteView) -> Result<Bytes> { return Bytes(attestation::kMaxNsmResponse + 1); });
  EXPECT_EQ(nsm.exchange(Bytes(attestation::kMaxNsmRequest + 1)).error().kind(), ErrorKind::invalid);
  auto answered = nsm.exchange(as_bytes("x"));
  EXPECT_EQ(answered.error().kind(), ErrorKind::corrupt);
  EXPECT_EQ(nsm.exchange(as_bytes("x")).error().kind(), ErrorKind::corrupt);  // and it goes on
}

TEST_F(SecurityModule, TellsTheDevicesErrors) {
  auto nsm = serve([](ByteView) -> Result<Bytes> { return fail(ErrorKind::unavailable, "no such device"); });
  auto answered = nsm.exchange(as_bytes("x"));
  EXPECT_EQ(answered.error().kind(), ErrorKind::unavailable);
  EXPECT_THAT(answered.error().message(), HasSubstr("no such device"));
}

// A reply that says more than it can hold comes from a process that is not ours any more.
TEST(RemoteNsm, BelievesNoSizeAndAsksTheDeadOnce) {
  auto pair = sys::make_socket_pair(SOCK_SEQPACKET).value();
  RemoteNsm nsm{sys::MessageSocket(std::move(pair.first))};
  sys::MessageSocket module(std::move(pair.second));
  // Ahead of the question: that is how a test without a thread has it answered.
  ModuleReply reply;
  reply.size = attestation::kMaxNsmResponse + 1;
  ASSERT_TRUE(module.send(reply));
  EXPECT_EQ(nsm.exchange(as_bytes("x")).error().kind(), ErrorKind::corrupt);
  module.release().reset();
  EXPECT_EQ(nsm.exchange(as_bytes("x")).error().kind(), ErrorKind::unavailable);
  EXPECT_THAT(nsm.exchange(as_bytes("x")).error().message(), HasSubstr("process is gone"));
}

}  // namespace
}  // namespace cloister::enclave
