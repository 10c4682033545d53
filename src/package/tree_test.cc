#include "package/tree.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "package/tar_support.h"

namespace cloister::package {
namespace {

using test::must;
using test::TempTree;
using test::why;

Result<Bytes> tar_of(const TempTree& tree, const std::optional<Bytes>& manifest = {}) {
  Bytes out;
  auto directory = tree.open();
  TRY(write_tar(directory, manifest, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  }));
  return out;
}

// A tree with one of everything that can be packed.
void fill(const TempTree& tree) {
  tree.write("b.py", "print()\n");
  tree.write("a/z", "");
  tree.write("a/" + std::string(150, 'n') + "/" + std::string(150, 'm'), "long");
  tree.write("a b\tc\xc3\xa9\xff", "odd name");
  std::filesystem::create_directory(tree / "empty");
  std::filesystem::create_symlink("../b.py", tree / "a/link");
  std::filesystem::create_symlink("a/" + std::string(120, 'q'), tree / "dangling");
  std::filesystem::create_hard_link(tree / "b.py", tree / "hard");
  std::filesystem::permissions(tree / "b.py", std::filesystem::perms(0754));
}

TEST(TreeTest, ComesBackTheSame) {
  TempTree source;
  fill(source);
  TempTree target;
  auto done = must(test::unpack(must(tar_of(source)), target));
  EXPECT_EQ(done.entries, source.count());
  EXPECT_EQ(target.count(), source.count());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source.path())) {
    auto name = entry.path().lexically_relative(source.path()).string();
    auto copy = target / name;
    if (entry.is_symlink()) {
      EXPECT_EQ(std::filesystem::read_symlink(copy), std::filesystem::read_symlink(entry.path()));
    } else if (entry.is_regular_file()) {
      EXPECT_EQ(target.read(name), source.read(name)) << name;
      EXPECT_EQ(std::filesystem::status(copy).permissions(), entry.status().permissions()) << name;
      struct stat was{};
      struct stat is{};
      ::stat(entry.path().c_str(), &was);
      ::stat(copy.c_str(), &is);
      EXPECT_EQ(was.st_mtime, is.st_mtime) << name;
      EXPECT_EQ(is.st_nlink, 1U) << name;
    } else {
      EXPECT_TRUE(std::filesystem::is_directory(copy)) << name;
    }
  }
}

TEST(TreeTest, TheSameTreeGivesTheSameBytes) {
  TempTree one;
  TempTree two;
  for (auto* name : {"x", "m", "a"}) one.write(name, name);
  for (auto* name : {"a", "x", "m"}) two.write(name, name);
  for (auto* name : {"a", "m", "x"}) {
    std::filesystem::last_write_time(two / name, std::filesystem::last_write_time(one / name));
  }
  EXPECT_TRUE(must(tar_of(one)) == must(tar_of(two)));
}

TEST(TreeTest, ManifestIsTheFirstMember) {
  TempTree source;
  source.write(".a", "sorts before .cloister");
  auto tar = must(tar_of(source, to_bytes("manifest")));
  EXPECT_TRUE(as_text(tar).starts_with(std::string(kManifestPath) + '\0'));
  TempTree target;
  EXPECT_TRUE(must(test::unpack(tar, target)).manifest);
  EXPECT_EQ(target.read(kManifestPath), "manifest");
}

TEST(TreeTest, SpecialBitsAreLeftBehind) {
  TempTree source;
  source.write("f", "x");
  ASSERT_EQ(::chmod((source / "f").c_str(), 06755), 0);
  TempTree target;
  ASSERT_OK(test::unpack(must(tar_of(source)), target));
  struct stat info{};
  ::stat((target / "f").c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
}

// Both walks must refuse, and name the culprit.
void expect_refused(const TempTree& tree, std::string_view culprit) {
  auto directory = tree.open();
  auto survey = survey_tree(directory);
  ASSERT_FALSE(survey) << culprit;
  EXPECT_NE(why(survey).find(culprit), std::string::npos) << why(survey);
  EXPECT_FALSE(tar_of(tree)) << culprit;
}

TEST(TreeTest, LinksThatLeaveAreRefusedByName) {
  for (auto* target : {"/etc/passwd", "../x", "a/../../x"}) {
    TempTree tree;
    tree.write("sub/ok", "");
    std::filesystem::create_symlink(std::string("../") + target, tree / "sub/leaving");
    if (target[0] == '/') {
      std::filesystem::remove(tree / "sub/leaving");
      std::filesystem::create_symlink(target, tree / "sub/leaving");
    }
    expect_refused(tree, "sub/leaving");
  }
}

TEST(TreeTest, SpecialFilesAreRefusedByName) {
  {
    TempTree tree;
    ASSERT_EQ(::mkfifo((tree / "pipe").c_str(), 0600), 0);
    expect_refused(tree, "pipe is a fifo");
  }
  TempTree tree;
  sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto path = (tree / "sock").string();
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::ranges::copy(path, address.sun_path);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  expect_refused(tree, "sock is a socket");
}

TEST(TreeTest, ReservedNameIsRefusedAtTheTopOnly) {
  TempTree tree;
  tree.write("sub/.cloister/x", "");
  ASSERT_OK(survey_tree(tree.open()));
  tree.write(".cloister/manifest", "mine");
  expect_refused(tree, ".cloister");
}

TEST(TreeTest, DepthIsLimited) {
  TempTree tree;
  std::string path = "d";
  for (std::size_t i = 1; i < kMaxTarDepth; ++i) path += "/d";
  tree.write(path, "at the limit");
  ASSERT_OK(tar_of(tree));
  std::filesystem::remove(tree / path);
  tree.write(path + "/f", "beyond");
  expect_refused(tree, "deeper");
}

TEST(TreeTest, SurveyCountsWhatIsWritten) {
  TempTree tree;
  tree.write("a/one", "x");
  tree.write("two", std::string(4097, 'x'));
  auto size = must(survey_tree(tree.open()));
  EXPECT_EQ(size.entries, 3U);
  EXPECT_EQ(size.bytes, 4098U);
  EXPECT_EQ(size.unpacked, 4 * kUnpackPage);
  TempTree target;
  ASSERT_OK(
      test::unpack(must(tar_of(tree)), target, {.max_bytes = size.unpacked, .max_entries = size.entries}));
}

// The sink changes the file while its content passes through.
void expect_changed(const std::function<void(const std::filesystem::path&)>& change) {
  TempTree tree;
  tree.write("data", std::string(1'000'000, 'x'));
  std::filesystem::last_write_time(tree / "data",
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  auto directory = tree.open();
  std::size_t calls = 0;
  auto written = write_tar(directory, {}, [&](ByteView) {
    if (++calls == 2) change(tree / "data");
    return Status{};
  });
  ASSERT_FALSE(written);
  EXPECT_EQ(why(written), "data changed while it was being packed");
}

TEST(TreeTest, FilesThatShrinkGrowOrChangeAreRefused) {
  expect_changed([](const auto& path) { std::filesystem::resize_file(path, 10); });
  expect_changed([](const auto& path) { std::filesystem::resize_file(path, 2'000'000); });
  expect_changed([](const auto& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file << "y";
  });
}

TEST(TreeTest, LargeFilesUsePaxSizes) {
  TarEntry entry{.path = "big", .size = std::uint64_t{9} << 30, .mode = 0644, .mtime = 5};
  auto blocks = encode_tar_entry(entry);
  ASSERT_EQ(blocks.size(), 3 * kTarBlock);
  auto records = must(parse_pax(ByteView(blocks).subspan(kTarBlock, 19)));
  EXPECT_EQ(records.size, entry.size);
  EXPECT_EQ(must(parse_tar_block(ByteView(blocks).last(kTarBlock), records)), entry);
  entry.size = (std::uint64_t{8} << 30) - 1;
  EXPECT_EQ(encode_tar_entry(entry).size(), kTarBlock);
}

TEST(TreeTest, PaxLengthsCountThemselves) {
  // Around the values where the length gains a digit.
  for (std::size_t size = 80; size < 1100; ++size) {
    TarEntry entry{.path = "d", .mode = 0644};
    for (entry.path = "d"; entry.path.size() < size;) {
      entry.path += entry.path.size() % 200 == 199 && entry.path.size() + 1 < size ? '/' : 'x';
    }
    auto blocks = encode_tar_entry(entry);
    PaxRecords records;
    if (blocks.size() > kTarBlock) {
      auto head = must(parse_tar_block(ByteView(blocks).first(kTarBlock), {}));
      ASSERT_EQ(head.type, TarType::pax);
      records = must(parse_pax(ByteView(blocks).subspan(kTarBlock, head.size)));
    }
    ASSERT_EQ(must(parse_tar_block(ByteView(blocks).last(kTarBlock), records)), entry) << size;
  }
}

}  // namespace
}  // namespace cloister::package
