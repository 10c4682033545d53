#include "host/legacy_package.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "sys/file.h"

namespace cloister::host {
namespace {

// The token of the Fernet specification, "hello": a token, and no zip.
constexpr std::string_view kToken =
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

class LegacyPackageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/cloister-legacy-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Result<LegacyPackage> open(std::string_view bytes) {
    auto path = directory_ + "/package";
    TRY(sys::write_file_atomic(path, as_bytes(bytes)));
    return LegacyPackage::open(path);
  }
  std::string directory_;
};

std::string framed(std::uint32_t length, std::string_view rest) {
  auto head = std::move(Writer().u32(length)).take();
  return std::string(as_text(head)) + std::string(rest);
}

TEST_F(LegacyPackageTest, SplitsTheWrappedKeyFromTheToken) {
  auto package = open(framed(3, "key" + std::string(kToken)));
  ASSERT_TRUE(package) << package.error().message();
  EXPECT_EQ(package->wrapped_key(), to_bytes("key"));
}

TEST_F(LegacyPackageTest, WhatIsVerifiedAndNoZipIsRefusedAndLeavesNothing) {
  auto package = open(framed(3, "key" + std::string(kToken)));
  ASSERT_TRUE(package);
  Secret key(from_hex("730ff4c7af3d46923e8ed451ee813c87f790b0a226bc96a92de49b5e9c05e1ee").value());
  auto archive = package->decrypt(key, directory_);
  ASSERT_FALSE(archive);
  EXPECT_EQ(archive.error().message(), "zip: shorter than an empty archive");
  std::filesystem::remove(directory_ + "/package");
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(LegacyPackageTest, RefusesWhatIsSomethingElse) {
  struct Row {
    std::string bytes;
    std::string_view why;
  };
  auto key = std::string(3, 'k');
  for (const auto& row :
       {Row{"", "ends before the token"}, Row{"abc", "ends before the token"},
        Row{framed(0, kToken), "a wrapped key of 0 bytes"},
        Row{framed(6145, kToken), "a wrapped key of 6145 bytes"},
        Row{framed(0xffffffff, kToken), "a wrapped key of 4294967295 bytes"},
        Row{framed(3, "k"), "ends before the token"}, Row{framed(3, "kkk"), "ends before the token"},
        Row{"\x8c"
            "CLSTR\r\nmore",
            "one of ours already"},
        Row{"PK\x03\x04 a zip", "a wrapped key of"},
        Row{framed(3, key + "x" + std::string(kToken)), "cut, or not base64"},
        Row{framed(3, key + std::string(kToken) + "\n"), "cut, or not base64"},
        Row{framed(3, key + "AAAA" + std::string(kToken)), "version 0x00"}}) {
    auto package = open(row.bytes);
    ASSERT_FALSE(package) << row.why;
    EXPECT_NE(package.error().message().find(row.why), std::string::npos) << package.error().message();
    EXPECT_FALSE(package.error().hint().empty());
  }
  EXPECT_FALSE(LegacyPackage::open(directory_));
  EXPECT_FALSE(LegacyPackage::open("/dev/null"));
  EXPECT_EQ(LegacyPackage::open(directory_ + "/none").error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::host
