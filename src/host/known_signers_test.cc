#include "host/known_signers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/file.h"

namespace cloister::host {
namespace {

class KnownSignersTest : public ::testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }
  std::string path_ = fmt::format("/tmp/cloister-signers-{}", ::getpid());
  crypto::Sha256 alice_ = crypto::sha256(as_bytes("alice"));
  crypto::Sha256 bob_ = crypto::sha256(as_bytes("bob"));
};

TEST_F(KnownSignersTest, AMissingFileKnowsNobody) {
  auto signers = KnownSigners::load(path_);
  ASSERT_TRUE(signers);
  EXPECT_TRUE(signers->all().empty());
  EXPECT_FALSE(signers->find(alice_));
}

TEST_F(KnownSignersTest, RemembersAcrossFiles) {
  KnownSigners signers;
  ASSERT_TRUE(signers.add("alice", alice_));
  ASSERT_TRUE(signers.add("bob", bob_));
  ASSERT_TRUE(signers.save(path_));
  auto read = KnownSigners::load(path_);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->find(alice_)->name, "alice");
  ASSERT_TRUE(read->remove("alice"));
  ASSERT_TRUE(read->remove(readable_fingerprint(bob_)));
  EXPECT_TRUE(read->all().empty());
}

TEST_F(KnownSignersTest, ResolvesNamesOfTheListAndFingerprintsOfAnybody) {
  KnownSigners signers;
  ASSERT_TRUE(signers.add("alice", alice_));
  EXPECT_EQ(signers.resolve("alice"), alice_);
  EXPECT_EQ(signers.resolve(to_hex(bob_)), bob_);
  EXPECT_FALSE(signers.resolve("bob"));
}

TEST_F(KnownSignersTest, NeitherNameNorFingerprintTwice) {
  KnownSigners signers;
  ASSERT_TRUE(signers.add("alice", alice_));
  EXPECT_FALSE(signers.add("alice", bob_));
  EXPECT_FALSE(signers.add("mallory", alice_));
  EXPECT_FALSE(signers.add("a b", bob_));
  EXPECT_FALSE(signers.add("", bob_));
  EXPECT_EQ(signers.remove("nobody").error().kind(), ErrorKind::not_found);
}

TEST_F(KnownSignersTest, ABrokenLineIsNamedByItsNumber) {
  ASSERT_TRUE(sys::write_file_atomic(path_, as_bytes("# comment\nalice 1234\n")));
  auto signers = KnownSigners::load(path_);
  ASSERT_FALSE(signers);
  EXPECT_NE(signers.error().message().find(":2"), std::string::npos) << signers.error().message();
}

}  // namespace
}  // namespace cloister::host
