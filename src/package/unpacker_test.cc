#include "package/unpacker.h"

#include "package/tar_support.h"

namespace cloister::package {
namespace {

using test::archive;
using test::directory_entry;
using test::file_entry;
using test::link_entry;
using test::must;
using test::patched;
using test::pax_entry;
using test::TempTree;
using test::unpack;
using test::why;

TEST(UnpackerTest, MakesFilesDirectoriesAndLinks) {
  TempTree tree;
  auto tar = archive({directory_entry("d", 0750), file_entry("d/f", "content", 0640),
                      link_entry("d/l", "../e"), file_entry("e", "", 0755)});
  auto done = must(unpack(tar, tree));
  EXPECT_EQ(done.entries, 4U);
  EXPECT_EQ(done.bytes, 7U);
  EXPECT_FALSE(done.manifest);
  EXPECT_EQ(tree.read("d/f"), "content");
  struct stat info{};
  ASSERT_EQ(::stat((tree / "d/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(info.st_mtime, 1'700'000'000);
  ASSERT_EQ(::stat((tree / "d").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750U);
  EXPECT_EQ(std::filesystem::read_symlink(tree / "d/l"), "../e");
}

TEST(UnpackerTest, PiecesDoNotMatter) {
  auto tar = archive({directory_entry("d"), file_entry("d/" + std::string(200, 'n'), std::string(1500, 'x')),
                      file_entry("e", "y")});
  for (std::size_t piece : {1, 7, 511, 513}) {
    TempTree tree;
    auto done = must(unpack(tar, tree, {}, piece));
    EXPECT_EQ(done.bytes, 1501U) << piece;
    EXPECT_EQ(tree.read("d/" + std::string(200, 'n')), std::string(1500, 'x'));
  }
}

TEST(UnpackerTest, DirectoriesStayUsableWhateverTheirMode) {
  TempTree tree;
  must(unpack(archive({directory_entry("d", 0), file_entry("d/f", "x")}), tree));
  EXPECT_EQ(tree.read("d/f"), "x");
}

TEST(UnpackerTest, ModesDoNotDependOnTheUmask) {
  TempTree tree;
  auto old = ::umask(0077);
  auto done = unpack(archive({file_entry("f", "x", 0666)}), tree);
  ::umask(old);
  ASSERT_OK(done);
  struct stat info{};
  ASSERT_EQ(::stat((tree / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0666U);
}

TEST(UnpackerTest, TakesTheManifestFirstOnly) {
  {
    TempTree tree;
    EXPECT_TRUE(must(unpack(archive({file_entry(".cloister/manifest", "m", 0400)}), tree)).manifest);
    EXPECT_EQ(tree.read(".cloister/manifest"), "m");
  }
  for (const auto& tar :
       {archive({file_entry("a", ""), file_entry(".cloister/manifest", "m")}),
        archive({file_entry(".cloister/manifest", "m"), file_entry(".cloister/other", "m")}),
        archive({directory_entry(".cloister")}), archive({link_entry(".cloister", "a")}),
        archive({file_entry(".cloister", "a")}), archive({file_entry(".cloister/other", "m")}),
        archive({link_entry(".cloister/manifest", "../a")}),
        archive({file_entry(".cloister/manifest", std::string(kMaxManifest + 1, 'm'))})}) {
    TempTree tree;
    EXPECT_FALSE(unpack(tar, tree));
  }
}

// Offsets of the ustar header's fields.
constexpr std::size_t kModeAt = 100;
constexpr std::size_t kSizeAt = 124;
constexpr std::size_t kTypeAt = 156;
constexpr std::size_t kLinkAt = 157;
constexpr std::size_t kMagicAt = 257;
constexpr std::size_t kPrefixAt = 345;

struct Refusal {
  std::string what;
  std::string reason;  // part of the message: refused for this and nothing else
  Bytes tar;
};
std::vector<Refusal> refusals() {
  auto plain = [] { return file_entry("f", ""); };
  auto with = [&](std::size_t offset, std::string_view text) {
    return archive({patched(plain(), offset, text)});
  };
  auto named = [&](std::string name) { return archive({file_entry(std::move(name), "")}); };
  auto bad_sum = archive({plain()});
  bad_sum[0] ^= 1;
  auto padded = archive({file_entry("f", "x")});
  padded[kTarBlock + 2] = 1;
  auto after = archive({plain()});
  append(after, plain());
  auto endless = archive({plain()});
  endless.resize(endless.size() + kMaxTarTrailer);
  auto one_zero = plain();
  one_zero.resize(one_zero.size() + kTarBlock);
  auto odd = archive({plain()});
  odd.resize(odd.size() + 1);
  auto pax_only = pax_entry("9 path=a\n");
  pax_only.resize(pax_only.size() - kTarBlock);  // without the file that follows
  auto deep = std::string("d");
  for (std::size_t i = 0; i < kMaxTarDepth; ++i) deep += "/d";
  return {
      {"absolute path", "absolute path", named("/etc/passwd")},
      {"path with ..", "'..' is not a name", named("../f")},
      {"path with .. inside", "'..' is not a name", named("a/../../f")},
      {"path with .", "'.' is not a name", named("./f")},
      {"empty path", "a name of 0 bytes", named("")},
      {"empty component", "a name of 0 bytes", named("a//f")},
      {"parent that is missing", "No such file", named("a/f")},
      {"component of 256 bytes", "a name of 256 bytes", named(std::string(256, 'n'))},
      {"path too deep", "deeper", named(deep)},
      {"file twice", "twice", archive({plain(), plain()})},
      {"directory twice", "twice", archive({directory_entry("d"), directory_entry("d")})},
      {"link over a file", "twice", archive({plain(), link_entry("f", "x")})},
      {"file over a link", "f stands there twice", archive({link_entry("f", "x"), plain()})},
      {"file below a file", "parent directory: f: ", archive({plain(), file_entry("f/x", "")})},
      {"file through a link",
       "parent directory: l: ", archive({directory_entry("d"), link_entry("l", "d"), file_entry("l/x", "")})},
      {"directory through a link",
       "l: ", archive({directory_entry("d"), link_entry("l", "d"), directory_entry("l/x")})},
      {"link to an absolute path", "absolute path", archive({link_entry("l", "/etc")})},
      {"link out of the root", "leads out", archive({link_entry("l", "..")})},
      {"link out of the root from below", "leads out",
       archive({directory_entry("d"), link_entry("d/l", "../../x")})},
      {"link with .. after a name", "'..' after a name",
       archive({directory_entry("d"), link_entry("d/l", "x/../../..")})},
      {"link without a target", "empty", archive({link_entry("l", "")})},
      {"hard link", "a hard link", with(kTypeAt, "1")},
      {"character device", "a device", with(kTypeAt, "3")},
      {"block device", "a device", with(kTypeAt, "4")},
      {"fifo", "a fifo", with(kTypeAt, "6")},
      {"contiguous file", "unknown type 55", with(kTypeAt, "7")},
      {"global pax header", "unknown type 103", with(kTypeAt, "g")},
      {"GNU long name", "unknown type 76", with(kTypeAt, "L")},
      {"GNU sparse file", "unknown type 83", with(kTypeAt, "S")},
      {"old file type", "unknown type 0", with(kTypeAt, std::string_view("\0", 1))},
      {"setuid", "setuid", with(kModeAt, "0004755")},
      {"setgid", "setuid", with(kModeAt, "0002755")},
      {"sticky", "sticky", with(kModeAt, "0001755")},
      {"file type in the mode", "a mode of 100644", with(kModeAt, "0100644")},
      {"mode that is not octal", "not octal", with(kModeAt, "00006x4")},
      {"size in base 256", "not octal", with(kSizeAt, std::string_view("\x80\0\0\0\0\0\0\0\0\0\0\x01", 12))},
      {"size with spaces", "not octal", with(kSizeAt, "          0 ")},
      {"directory with content", "content where none",
       archive({patched(directory_entry("d"), kSizeAt, "00000000001")})},
      {"link with content", "content where none",
       archive({patched(link_entry("l", "x"), kSizeAt, "00000000001")})},
      {"file with a target", "a link target where", with(kLinkAt, "target")},
      {"directory without its slash", "without its slash", with(kTypeAt, "5")},
      {"name with a tail", "bytes after the end of a name", with(0, std::string_view("f\0g", 3))},
      {"name in two parts", "two parts", with(kPrefixAt, "prefix")},
      {"GNU magic", "not a ustar", with(kMagicAt, std::string_view("ustar  \0", 8))},
      {"wrong checksum", "wrong checksum", bad_sum},
      {"padding that is not zero", "padding", padded},
      {"data after the end", "data after the end", after},
      {"endless zeros", "after the end", endless},
      {"only one zero block", "ends too early", one_zero},
      {"an end that is cut", "ends too early", odd},
      {"pax: extended attribute", "not allowed", archive({pax_entry("29 SCHILY.xattr.user.a=value\n")})},
      {"pax: capability", "not allowed", archive({pax_entry("38 SCHILY.xattr.security.capability=x\n")})},
      {"pax: unknown key", "'uid' is not allowed", archive({pax_entry("9 uid=99\n")})},
      {"pax: the same key twice", "stands twice", archive({pax_entry("9 path=a\n9 path=b\n")})},
      {"pax: length too small", "cut", archive({pax_entry("8 path=a\n")})},
      {"pax: length too large", "cut", archive({pax_entry("99 path=a\n")})},
      {"pax: length with a zero", "leading zeros", archive({pax_entry("010 path=a\n")})},
      {"pax: no newline", "cut", archive({pax_entry("9 path=ab")})},
      {"pax: no value", "empty pax value", archive({pax_entry("8 path=\n")})},
      {"pax: no equals", "without a value", archive({pax_entry("8 pathx\n")})},
      {"pax: path with ..", "'..' is not a name", archive({pax_entry("13 path=../a\n")})},
      {"pax: absolute path", "absolute path", archive({pax_entry("11 path=/a\n")})},
      {"pax: NUL in a path", "NUL", archive({pax_entry(std::string_view("11 path=a\0\n", 11))})},
      {"pax: huge size", "a size of", archive({pax_entry("29 size=18446744073709551615\n")})},
      {"pax: negative size", "number", archive({pax_entry("11 size=-1\n")})},
      {"pax: two headers", "two pax headers", archive({pax_only, pax_entry("9 path=b\n")})},
      {"pax: nothing follows", "without its member", archive({pax_only})},
      {"empty stream", "ends too early", {}},
  };
}

TEST(UnpackerTest, RefusesWhatAnAttackerWouldSend) {
  for (const auto& [what, reason, tar] : refusals()) {
    TempTree outer;
    std::filesystem::create_directory(outer / "target");
    auto directory = must(sys::Dir::open((outer / "target").string()));
    Unpacker unpacker(directory, {});
    auto written = unpacker.write(tar);
    auto message = written ? why(unpacker.finish()) : why(written);
    EXPECT_NE(message.find(reason), std::string::npos) << what << ": " << message;
    // Nothing beside the target came into being.
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(outer.path()), {}), 1) << what;
  }
}

TEST(UnpackerTest, EveryTruncationIsRefused) {
  auto tar = archive({directory_entry("d"), file_entry("d/f", std::string(600, 'x'))});
  for (std::size_t size = 0; size < tar.size(); size += 64) {
    TempTree tree;
    EXPECT_FALSE(unpack(ByteView(tar).first(size), tree)) << size;
  }
}

TEST(UnpackerTest, BytesAreLimitedBeforeTheyAreWritten) {
  // Three pages: one each for the directory and the file of one byte, one for the last file.
  auto tar = archive({directory_entry("d"), file_entry("a", "x"), file_entry("b", std::string(4096, 'x'))});
  {
    TempTree tree;
    ASSERT_OK(unpack(tar, tree, {.max_bytes = 3 * kUnpackPage}));
  }
  TempTree tree;
  auto refused = unpack(tar, tree, {.max_bytes = 3 * kUnpackPage - 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::exhausted);
  EXPECT_FALSE(tree.exists("b"));
}

TEST(UnpackerTest, ClaimedSizesCannotOverflowTheLimit) {
  auto huge = encode_tar_entry({.path = "a", .size = kMaxTarFile, .mode = 0644});
  TempTree tree;
  auto refused = unpack(huge, tree, {.max_bytes = ~std::uint64_t{0}});
  EXPECT_FALSE(refused);  // cut, but not for its size
  auto refused_by_limit = unpack(huge, tree, {.max_bytes = kMaxTarFile - 1});
  ASSERT_FALSE(refused_by_limit);
  EXPECT_EQ(refused_by_limit.error().kind(), ErrorKind::exhausted);
}

TEST(UnpackerTest, EntriesAreLimited) {
  TempTree tree;
  auto refused = unpack(archive({file_entry("a", ""), file_entry("b", ""), file_entry("c", "")}), tree,
                        {.max_entries = 2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::exhausted);
  EXPECT_FALSE(tree.exists("c"));
}

TEST(UnpackerTest, FilesThatWereThereStayAsTheyAre) {
  TempTree tree;
  tree.write("f", "mine");
  EXPECT_FALSE(unpack(archive({file_entry("f", "theirs")}), tree));
  EXPECT_EQ(tree.read("f"), "mine");
}

TEST(LinkTargetTest, OnlyInwardLinksPass) {
  for (auto [path, target] : {std::pair("l", "a"),
                              {"l", "a/b/c"},
                              {"l", "./a"},
                              {"l", "."},
                              {"l", "a/"},
                              {"d/l", ".."},
                              {"d/l", "../a"},
                              {"d/e/l", "../../a/b"},
                              {"d/e/l", "./../a"}}) {
    EXPECT_TRUE(check_link_target(path, target)) << path << " -> " << target;
  }
  for (auto [path, target] : {std::pair("l", ""),
                              {"l", "/"},
                              {"l", "/a"},
                              {"l", ".."},
                              {"l", "../a"},
                              {"d/l", "../.."},
                              {"d/l", "../../a"},
                              {"d/l", "a/.."},
                              {"d/l", "a/../b"},
                              {"d/l", "./../../a"},
                              {"d/l", ".././../a"}}) {
    EXPECT_FALSE(check_link_target(path, target)) << path << " -> " << target;
  }
  EXPECT_FALSE(check_link_target("l", std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace cloister::package
