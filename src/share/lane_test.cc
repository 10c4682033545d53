#include "share/lane.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "fuse/limits.h"
#include "share/limits.h"

namespace cloister::share {
namespace {

Hello sample() {
  Hello hello{.kind = LaneKind::notifications};
  hello.ticket.fill(0x11);
  return hello;
}

Bytes changed(ByteView bytes, std::size_t at, std::uint8_t value) {
  auto out = to_bytes(bytes);
  out.at(at) = value;
  return out;
}

TEST(Hello, HasTheBytesOfTheSpecification) {
  auto hello = sample();
  hello.kind = LaneKind::requests;
  EXPECT_EQ(to_hex(hello.encode()).substr(0, 20), "434c5348000100011111");
  EXPECT_EQ(to_hex(HelloReply{}.encode()), "434c5352000100000010000000000010");
}

TEST(Hello, ComesBack) {
  auto decoded = Hello::decode(sample().encode());
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->kind, LaneKind::notifications);
  EXPECT_EQ(decoded->ticket, sample().ticket);
}

TEST(Hello, RefusesOtherShapes) {
  auto bytes = sample().encode();
  EXPECT_FALSE(Hello::decode(ByteView(bytes).first(kHelloBytes - 1)).has_value());
  auto longer = to_bytes(bytes);
  longer.push_back(0);
  EXPECT_FALSE(Hello::decode(longer).has_value());
  EXPECT_FALSE(Hello::decode(changed(bytes, 0, 'X')).has_value());
  EXPECT_FALSE(Hello::decode(changed(bytes, 5, 2)).has_value());  // version
  EXPECT_FALSE(Hello::decode(changed(bytes, 7, 0)).has_value());  // kind
  EXPECT_FALSE(Hello::decode(changed(bytes, 7, 3)).has_value());
  EXPECT_FALSE(Hello::decode(changed(bytes, 6, 1)).has_value());
}

TEST(HelloReply, RefusesLimitsOutsideOurs) {
  EXPECT_FALSE(HelloReply::decode(HelloReply{.max_write = fuse::kMaxWrite + 4096}.encode()).has_value());
  EXPECT_FALSE(HelloReply::decode(HelloReply{.max_write = 0}.encode()).has_value());
  EXPECT_FALSE(HelloReply::decode(HelloReply{.max_write = 5000}.encode()).has_value());
  EXPECT_FALSE(HelloReply::decode(HelloReply{.max_lanes = 0}.encode()).has_value());
  EXPECT_FALSE(HelloReply::decode(HelloReply{.max_lanes = kMaxLanes + 1}.encode()).has_value());
  EXPECT_FALSE(HelloReply::decode(changed(HelloReply{}.encode(), 7, 3)).has_value());
  EXPECT_TRUE(HelloReply::decode(HelloReply{.max_write = 4096, .max_lanes = 1}.encode()).has_value());
}

class GreetingTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    client = std::make_unique<sys::FdStream>(std::move(pair.first));
    enclave = std::make_unique<sys::FdStream>(std::move(pair.second));
  }
  std::unique_ptr<sys::FdStream> client;
  std::unique_ptr<sys::FdStream> enclave;
};

TEST_F(GreetingTest, LeavesWhatFollowsInTheSocket) {
  ASSERT_TRUE(client->write_all(sample().encode()).has_value());
  ASSERT_TRUE(client->write_all(as_bytes("next")).has_value());
  ASSERT_TRUE(read_hello(*enclave).has_value());
  ByteArray<4> rest{};
  ASSERT_TRUE(sys::read_exactly(*enclave, rest).has_value());
  EXPECT_EQ(as_text(rest), "next");
}

TEST_F(GreetingTest, GivesUpOnAClientThatStalls) {
  ASSERT_TRUE(client->write_all(ByteView(sample().encode()).first(39)).has_value());
  auto hello = read_hello(*enclave, sys::Deadline::after(sys::milliseconds(30)));
  ASSERT_FALSE(hello.has_value());
  EXPECT_EQ(hello.error().kind(), ErrorKind::unavailable);
}

TEST_F(GreetingTest, TellsWhyALaneIsRefused) {
  struct Case {
    LaneStatus status;
    ErrorKind kind;
  };
  for (auto [status, kind] :
       {Case{LaneStatus::refused, ErrorKind::denied}, Case{LaneStatus::full, ErrorKind::exhausted}}) {
    ASSERT_TRUE(write_hello_reply(*enclave, {.status = status}).has_value());
    auto reply = greet(*client, sample());
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().kind(), kind);
  }
  ASSERT_TRUE(write_hello_reply(*enclave, {.max_write = 65536}).has_value());
  EXPECT_EQ(greet(*client, sample()).value().max_write, 65536U);
}

}  // namespace
}  // namespace cloister::share
