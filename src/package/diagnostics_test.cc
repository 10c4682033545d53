#include "package/diagnostics.h"

#include <gtest/gtest.h>

namespace cloister::package {
namespace {

using crypto::KeyType;
using crypto::PrivateKey;

Diagnostics example() {
  return {.name = "ocr",
          .release = "1",
          .signer = crypto::sha256(as_bytes("acme")),
          .entry = "run.py",
          .end = "exited 1",
          .standard_error = to_bytes(as_bytes("Traceback \xff")),
          .dropped = 7};
}

class DiagnosticsTest : public ::testing::Test {
 protected:
  PrivateKey owner_ = *PrivateKey::generate(KeyType::x25519);
  Bytes bundle_ = *example().seal(*owner_.public_key().raw());
};

TEST_F(DiagnosticsTest, TheOwnerReadsIt) {
  auto read = Diagnostics::open(owner_, bundle_);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, example());
}

TEST_F(DiagnosticsTest, NobodyElseDoesAndNothingShows) {
  EXPECT_FALSE(Diagnostics::open(*PrivateKey::generate(KeyType::x25519), bundle_));
  auto text = as_text(bundle_);
  for (auto secret : {"Traceback", "ocr", "run.py", "exited"})
    EXPECT_EQ(text.find(secret), std::string_view::npos) << secret;
}

TEST_F(DiagnosticsTest, EveryFlippedBitAndEveryTruncationIsRefused) {
  for (std::size_t i = 0; i < bundle_.size() * 8; ++i) {
    auto changed = bundle_;
    changed[i / 8] ^= static_cast<std::uint8_t>(1 << i % 8);
    ASSERT_FALSE(Diagnostics::open(owner_, changed)) << i;
  }
  for (std::size_t size = 0; size < bundle_.size(); ++size)
    ASSERT_FALSE(Diagnostics::open(owner_, ByteView(bundle_).first(size))) << size;
}

TEST_F(DiagnosticsTest, OnlyTheEndOfALongStderrIsKept) {
  auto long_one = example();
  long_one.standard_error.assign(kMaxDiagnosticStderr + 100, 'x');
  long_one.standard_error.back() = 'y';
  auto read = Diagnostics::open(owner_, *long_one.seal(*owner_.public_key().raw()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->standard_error.size(), kMaxDiagnosticStderr);
  EXPECT_EQ(read->standard_error.back(), 'y');
  EXPECT_EQ(read->dropped, 107u);
}

TEST_F(DiagnosticsTest, TextsThatAreTooLongOrNotUtf8AreCut) {
  auto odd = example();
  odd.end = std::string(2 * kMaxDiagnosticText, 'e');
  odd.entry = "a\xc3";
  auto read = Diagnostics::open(owner_, *odd.seal(*owner_.public_key().raw()));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->end.size(), kMaxDiagnosticText);
  EXPECT_EQ(read->entry, "a");
}

TEST_F(DiagnosticsTest, AKeyOfSmallOrderSealsNothing) {
  EXPECT_FALSE(example().seal(Bytes(32)));
  EXPECT_FALSE(example().seal(Bytes(31)));
}

}  // namespace
}  // namespace cloister::package
