#include "boot/completeness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cloister::boot {
namespace {

namespace fs = std::filesystem;

class Completeness : public testing::Test {
 protected:
  Completeness() {
    std::string pattern = "/dev/shm/contents-XXXXXX";  // a tmpfs, as in an enclave
    root_ = ::mkdtemp(pattern.data());
    fs::create_directories(root_ + "/etc/cloister");
    write("etc/cloister/contents", "whatever stands here\n");
    write("a", "12345");
    write("etc/b", "");
    fs::create_symlink("/nowhere/at/all", root_ + "/etc/link");
  }
  ~Completeness() override { fs::remove_all(root_); }
  void write(const std::string& path, std::string_view text) const {
    std::ofstream(root_ + "/" + path, std::ios::binary) << text;
  }
  std::string root_;
};

TEST_F(Completeness, CountsFilesAndLinksAndTheirBytes) {
  EXPECT_EQ(count_contents(root_).value(), (Contents{.files = 3, .bytes = 5 + 15}));
  EXPECT_FALSE(count_contents(root_ + "/absent"));
}

// What a kernel leaves out when memory ends: a file's end, an empty file, a link.
TEST_F(Completeness, SeesWhateverIsMissing) {
  auto whole = count_contents(root_).value();
  write("a", "1234");
  EXPECT_NE(count_contents(root_).value(), whole);
  write("a", "12345");
  fs::remove(root_ + "/etc/b");
  EXPECT_NE(count_contents(root_).value(), whole);
  write("etc/b", "");
  EXPECT_EQ(count_contents(root_).value(), whole);
  fs::remove(root_ + "/etc/link");
  EXPECT_NE(count_contents(root_).value(), whole);
}

// The file at which memory ended: Linux had given it its size before.
TEST_F(Completeness, SeesAFileThatIsLongEnoughButEmpty) {
  write("a", std::string(100'000, 'x'));
  auto whole = count_contents(root_).value();
  EXPECT_EQ(whole.bytes, 100'000 + 15);
  for (int written : {0, 4096, 98'304}) {
    write("a", std::string(static_cast<std::size_t>(written), 'x'));
    fs::resize_file(root_ + "/a", 100'000);
    EXPECT_NE(count_contents(root_).value(), whole) << written;
  }
}

}  // namespace
}  // namespace cloister::boot
