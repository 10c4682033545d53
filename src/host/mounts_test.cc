// The hellos of a new mount's lanes, to an enclave that this test plays.
#include "host/mounts.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <initializer_list>
#include <thread>
#include <vector>

#include "share/lane.h"
#include "sys/endpoint.h"

namespace cloister::host {
namespace {

// Answers one hello after the other with these.
class FakeEnclave {
 public:
  explicit FakeEnclave(std::initializer_list<share::HelloReply> answers) {
    std::vector<share::HelloReply> replies(answers);
    listener_ = sys::listen(endpoint).value();
    thread_ = std::thread([this, replies = std::move(replies)] {
      for (const auto& reply : replies) {
        lanes_.push_back(std::make_unique<sys::FdStream>(sys::accept(listener_.get()).value()));
        EXPECT_TRUE(share::read_hello(*lanes_.back()).has_value());
        EXPECT_TRUE(share::write_hello_reply(*lanes_.back(), reply).has_value());
      }
    });
  }
  ~FakeEnclave() {
    thread_.join();
    std::filesystem::remove_all(std::filesystem::path(endpoint.path).parent_path());
  }
  const sys::Endpoint endpoint = fresh_endpoint();

 private:
  static sys::Endpoint fresh_endpoint() {
    std::string directory = testing::TempDir() + "/cloister-lanes-XXXXXX";
    EXPECT_NE(::mkdtemp(directory.data()), nullptr);
    return sys::Endpoint::unix_socket(directory + "/lanes");
  }
  sys::Fd listener_;
  std::vector<std::unique_ptr<sys::FdStream>> lanes_;
  std::thread thread_;
};

const std::string kTicket(64, 'a');

TEST(GreetLanes, AgreesOnTheLeastThatAnyLaneSays) {
  FakeEnclave enclave{{.max_write = 65536}, {.max_write = 8192}, {.max_write = 1048576}};
  auto opened = greet_lanes(enclave.endpoint, {.requests = {kTicket, kTicket}, .notifier = kTicket});
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ(opened->max_write, 8192U);
  EXPECT_EQ(opened->lanes.requests.size(), 2U);
  EXPECT_NE(opened->lanes.notifications, nullptr);
}

TEST(GreetLanes, OpensNoMoreLanesThanTheEnclaveAllows) {
  FakeEnclave enclave{{.max_lanes = 1}};
  auto opened = greet_lanes(enclave.endpoint, {.requests = {kTicket, kTicket}, .notifier = kTicket});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind(), ErrorKind::exhausted);
  EXPECT_EQ(opened.error().message(), "the enclave allows 1 lanes, not 2");
}

TEST(GreetLanes, SaysThatTheEnclaveIsFull) {
  FakeEnclave enclave{{.status = share::LaneStatus::full}};
  auto opened = greet_lanes(enclave.endpoint, {.requests = {kTicket}, .notifier = kTicket});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind(), ErrorKind::exhausted);
}

}  // namespace
}  // namespace cloister::host
