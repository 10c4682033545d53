#include "emulator/development_root.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "sys/file.h"

namespace cloister::emulator {
namespace {

constexpr sys::UnixMillis kNow = 1700000000000;
constexpr sys::UnixMillis kYear = 365LL * 24 * 3600 * 1000;

class DevelopmentRootFiles : public ::testing::Test {
 protected:
  DevelopmentRootFiles() {
    char name[] = "/tmp/cloister-root-XXXXXX";
    EXPECT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  ~DevelopmentRootFiles() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  mode_t mode_of(const std::string& path) const {
    struct stat about{};
    EXPECT_EQ(::stat(path.c_str(), &about), 0);
    return about.st_mode & 0777;
  }
  std::string directory_;
};

TEST(DevelopmentRoot, IsASelfSignedP384AuthorityThatSaysWhatItIs) {
  auto root = DevelopmentRoot::generate(kNow).value();
  EXPECT_EQ(root.key.type(), crypto::KeyType::p384);
  EXPECT_NE(root.certificate.subject().find("Cloister development root"), std::string::npos);
  EXPECT_NE(root.certificate.subject().find("not AWS"), std::string::npos);
  EXPECT_LT(root.certificate.not_before(), kNow);
  EXPECT_GT(root.certificate.not_after(), kNow + kYear);
  EXPECT_NE(root.certificate.der(), DevelopmentRoot::generate(kNow).value().certificate.der());
}

TEST_F(DevelopmentRootFiles, AreMadeOnceAndReadAfterwards) {
  auto below = file("a/b");
  auto first = DevelopmentRoot::load_or_create(below, kNow).value();
  EXPECT_EQ(mode_of(below + "/root-key.pem"), 0600U);
  EXPECT_EQ(mode_of(below + "/root.pem"), 0644U);
  auto second = DevelopmentRoot::load_or_create(below, kNow + kYear).value();
  EXPECT_EQ(first.certificate.der(), second.certificate.der());
  auto signature = second.key.sign(as_bytes("message")).value();
  EXPECT_TRUE(first.key.public_key().verify(as_bytes("message"), signature).has_value());
}

TEST_F(DevelopmentRootFiles, AreOneForThreadsThatRace) {
  std::vector<Bytes> made(4);
  std::vector<std::thread> threads;
  for (auto& der : made) {
    threads.emplace_back([this, &der] {
      auto root = DevelopmentRoot::load_or_create(directory_, kNow);
      if (root.has_value()) der = root->certificate.der();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(made.front().empty());
  EXPECT_EQ(std::set<Bytes>(made.begin(), made.end()).size(), 1U);
}

TEST_F(DevelopmentRootFiles, AreOneForProcessesThatRace) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto root = DevelopmentRoot::load_or_create(directory_, kNow);
      bool written =
          root.has_value() &&
          sys::write_file_atomic(file("child" + std::to_string(i)), root->certificate.der()).has_value();
      ::_exit(written ? 0 : 1);
    }
    children.push_back(child);
  }
  std::set<Bytes> made;
  for (std::size_t i = 0; i < children.size(); ++i) {
    int status = -1;
    ASSERT_EQ(::waitpid(children[i], &status, 0), children[i]);
    ASSERT_EQ(status, 0);
    made.insert(sys::read_file(file("child" + std::to_string(i)), 1 << 16).value());
  }
  EXPECT_EQ(made.size(), 1U);
}

// As after a crash between the two files: a key without a certificate was never shown to anybody.
TEST_F(DevelopmentRootFiles, AreMadeAnewWhenTheCertificateNeverCame) {
  auto first = DevelopmentRoot::load_or_create(directory_, kNow).value();
  ASSERT_EQ(::unlink(file("root.pem").c_str()), 0);
  auto second = DevelopmentRoot::load_or_create(directory_, kNow).value();
  EXPECT_NE(first.certificate.der(), second.certificate.der());
  EXPECT_EQ(DevelopmentRoot::load_or_create(directory_, kNow).value().certificate.der(),
            second.certificate.der());
}

TEST_F(DevelopmentRootFiles, AreNeverReplacedWhenTheKeyIsGone) {
  ASSERT_TRUE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  ASSERT_EQ(::unlink(file("root-key.pem").c_str()), 0);
  EXPECT_FALSE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  EXPECT_FALSE(std::filesystem::exists(file("root-key.pem")));
}

TEST_F(DevelopmentRootFiles, MustBelongTogether) {
  ASSERT_TRUE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  auto other = DevelopmentRoot::generate(kNow).value();
  ASSERT_TRUE(sys::write_file_atomic(file("root.pem"), as_bytes(other.certificate.pem())).has_value());
  auto root = DevelopmentRoot::load_or_create(directory_, kNow);
  ASSERT_FALSE(root.has_value());
  EXPECT_EQ(root.error().kind(), ErrorKind::corrupt);
}

TEST_F(DevelopmentRootFiles, KeepTheKeyFromOthers) {
  ASSERT_TRUE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  ASSERT_EQ(::chmod(file("root-key.pem").c_str(), 0640), 0);
  auto root = DevelopmentRoot::load_or_create(directory_, kNow);
  ASSERT_FALSE(root.has_value());
  EXPECT_EQ(root.error().kind(), ErrorKind::denied);
}

TEST_F(DevelopmentRootFiles, RefuseRubbish) {
  ASSERT_TRUE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  auto good = sys::read_file(file("root.pem"), 1 << 16).value();
  for (const auto& bad : {Bytes{}, to_bytes("rubbish")}) {
    ASSERT_TRUE(sys::write_file_atomic(file("root.pem"), bad).has_value());
    EXPECT_FALSE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
  }
  auto twice = good;
  append(twice, good);
  ASSERT_TRUE(sys::write_file_atomic(file("root.pem"), twice).has_value());
  EXPECT_FALSE(DevelopmentRoot::load_or_create(directory_, kNow).has_value());
}

}  // namespace
}  // namespace cloister::emulator
