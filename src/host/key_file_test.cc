#include "host/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "sys/file.h"

namespace cloister::host {
namespace {

using crypto::KeyType;

class KeyFileTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_ = fmt::format("{}cloister-keys-{}", testing::TempDir(), ::getpid());
  std::string path_ = directory_ + "/home/key.pem";
};

TEST_F(KeyFileTest, IsMadeOnceForItsOwnerAlone) {
  auto first = load_or_create_key(path_, KeyType::x25519);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_TRUE(first->made);
  auto second = load_or_create_key(path_, KeyType::x25519);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->made);
  EXPECT_EQ(first->key.public_key().fingerprint(), second->key.public_key().fingerprint());
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_ + "/home"), {}), 1);
}

TEST_F(KeyFileTest, AKeyOfAnotherTypeOrGarbageIsLeftAlone) {
  ASSERT_TRUE(load_or_create_key(path_, KeyType::p256));
  auto other = load_or_create_key(path_, KeyType::x25519);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind(), ErrorKind::invalid);
  ASSERT_TRUE(sys::write_file_atomic(path_, as_bytes("not a key"), 0600));
  EXPECT_FALSE(load_or_create_key(path_, KeyType::p256));
  EXPECT_EQ(as_text(*sys::read_file(path_, 100)), "not a key");
}

TEST_F(KeyFileTest, AMissingOneIsNotFound) {
  auto key = load_key(path_, KeyType::ed25519);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::host
