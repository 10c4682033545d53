#include "host/write_back.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace cloister::host {
namespace {

class AwaitNoRequestTest : public testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }
  void say(std::string_view count) const { std::ofstream(path_) << count << "\n"; }
  std::string path_ = testing::TempDir() + "cloister-waiting." + std::to_string(::getpid());
};

TEST_F(AwaitNoRequestTest, EndsWithTheLastRequest) {
  say("3");
  std::jthread pump([&] {
    std::this_thread::sleep_for(sys::milliseconds(20));
    say("0");
  });
  EXPECT_TRUE(await_no_request(path_, sys::Deadline::after(sys::seconds(10))));
}

TEST_F(AwaitNoRequestTest, DoesNotWaitForEverOrWithoutTheFile) {
  say("10");
  EXPECT_FALSE(await_no_request(path_, sys::Deadline::after(sys::milliseconds(20))));
  ::unlink(path_.c_str());
  EXPECT_FALSE(await_no_request(path_, sys::Deadline::after(sys::seconds(3600))));
}

}  // namespace
}  // namespace cloister::host
