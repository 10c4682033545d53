#include "host/enclave_record.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sys/file.h"

namespace cloister::host {
namespace {

constexpr uid_t kStranger = 65534;

class EnclaveRecordTest : public ::testing::Test {
 protected:
  void SetUp() override {
    paths_.run = fmt::format("{}cloister-record-{}", testing::TempDir(), ::getpid());
    ASSERT_TRUE(sys::make_directories(paths_.enclave("default"), 0755));
    EnclaveRecord record;
    record.name = "default";
    record.backend = "process";
    record.mode = "simulated";
    for (auto* endpoint : {&record.control, &record.lanes, &record.proxy})
      *endpoint = sys::Endpoint::unix_socket(paths_.run + "/socket");
    ByteArray<48> pcr{};
    pcr.fill(7);
    record.measurements.pcrs[0] = to_bytes(ByteView(pcr));
    ASSERT_TRUE(write_record(paths_, record));
  }
  void TearDown() override { std::filesystem::remove_all(paths_.run); }

  ErrorKind refused_as() {
    auto record = read_record(paths_, "default");
    return record ? ErrorKind::internal : record.error().kind();
  }
  std::string file() const { return paths_.enclave("default") + "/enclave.json"; }
  Paths paths_;
};

TEST_F(EnclaveRecordTest, IsReadAsItWasWritten) {
  auto record = read_record(paths_, "default");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->name, "default");
  EXPECT_EQ(record->control.to_string(), "unix://" + paths_.run + "/socket");
}

// Whoever writes it chooses whom this user believes.
TEST_F(EnclaveRecordTest, IsRefusedIfOthersCouldHaveWrittenIt) {
  ASSERT_EQ(::chmod(file().c_str(), 0666), 0);
  EXPECT_EQ(refused_as(), ErrorKind::denied);
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  if (::geteuid() != 0) GTEST_SKIP() << "SKIP: only root can give a file away";
  ASSERT_EQ(::chown(file().c_str(), kStranger, kStranger), 0);
  EXPECT_EQ(refused_as(), ErrorKind::denied);
}

TEST_F(EnclaveRecordTest, IsNotFollowedThroughALink) {
  auto elsewhere = paths_.run + "/elsewhere.json";
  ASSERT_EQ(::rename(file().c_str(), elsewhere.c_str()), 0);
  ASSERT_EQ(::symlink(elsewhere.c_str(), file().c_str()), 0);
  EXPECT_FALSE(read_record(paths_, "default"));
}

TEST_F(EnclaveRecordTest, AMissingOneIsNoEnclave) {
  ASSERT_EQ(::unlink(file().c_str()), 0);
  EXPECT_EQ(refused_as(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::host
