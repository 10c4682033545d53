#include "image/cpio.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/bytes.h"

namespace cloister::image {

namespace {

Spool spool() {
  return *Spool::create("/tmp");
}

Node file(Spool& contents, std::string_view text, mode_t permissions = 0644) {
  Node node;
  node.mode = S_IFREG | permissions;
  node.content = *contents.add(as_bytes(text));
  return node;
}

Bytes archive(const FileTree& tree, const Spool& contents) {
  Bytes out;
  EXPECT_TRUE(write_cpio(tree, contents, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  }));
  return out;
}

std::string content_of(const FileTree& tree, const Spool& contents, const std::string& path) {
  Bytes out(tree.find(path)->content.size);
  EXPECT_TRUE(contents.read(tree.find(path)->content.offset, out));
  return std::string(as_text(out));
}

Status read(ByteView bytes, FileTree& tree, Spool& contents, std::size_t at_a_time = 1000) {
  CpioReader reader(tree, contents);
  while (!bytes.empty()) {
    auto part = bytes.first(std::min(at_a_time, bytes.size()));
    bytes = bytes.subspan(part.size());
    TRY(reader.write(part));
  }
  return reader.finish();
}

}  // namespace

// The bytes of one entry, field by field, as the kernel's buffer-format.rst has them.
TEST(Cpio, WritesNewc) {
  auto contents = spool();
  FileTree tree;
  auto node = file(contents, "hello", 0600);
  node.uid = 1;
  node.gid = 2;
  ASSERT_TRUE(tree.put("a", node));
  std::string expected =
      "070701"
      "00000001"
      "00008180"
      "00000001"
      "00000002"
      "00000001"
      "00000000"
      "00000005"
      "00000000"
      "00000000"
      "00000000"
      "00000000"
      "00000002"
      "00000000"
      "a";
  expected += std::string(1, '\0') + "hello" + std::string(3, '\0') +
              "070701"
              "00000000"
              "00000000"
              "00000000"
              "00000000"
              "00000001"
              "00000000"
              "00000000"
              "00000000"
              "00000000"
              "00000000"
              "00000000"
              "0000000b"
              "00000000"
              "TRAILER!!!" +
              std::string(4, '\0');
  EXPECT_EQ(as_text(archive(tree, contents)), expected);
}

TEST(Cpio, ReadsBackWhatItWrote) {
  auto contents = spool();
  FileTree tree;
  Node console;
  console.mode = S_IFCHR | 0600;
  console.device_major = 5;
  console.device_minor = 1;
  ASSERT_TRUE(tree.put("dev/console", console));
  ASSERT_TRUE(tree.put("bin/sh", file(contents, "program", 0755)));
  ASSERT_TRUE(tree.put_hard_link("bin/ash", "bin/sh"));
  ASSERT_TRUE(tree.put("sbin", link_node("bin")));
  ASSERT_TRUE(tree.put("empty", file(contents, "")));
  auto bytes = archive(tree, contents);
  for (std::size_t at_a_time : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    FileTree back;
    auto again = spool();
    ASSERT_TRUE(read(bytes, back, again, at_a_time));
    EXPECT_EQ(archive(back, again), bytes);
    EXPECT_EQ(content_of(back, again, "bin/ash"), "program");
    EXPECT_EQ(back.find("bin/ash")->hard_link, back.find("bin/sh")->hard_link);
  }
}

TEST(Cpio, RefusesWhatIsDamaged) {
  auto contents = spool();
  FileTree tree;
  ASSERT_TRUE(tree.put("a/b", file(contents, "hello")));
  auto whole = archive(tree, contents);
  auto refused = [&](Bytes bytes) {
    FileTree back;
    auto again = spool();
    return !read(bytes, back, again).has_value();
  };
  EXPECT_FALSE(refused(whole));
  for (std::size_t size = 0; size < whole.size() - 4; ++size)
    EXPECT_TRUE(refused(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)))) << size;
  auto changed = [&](std::size_t at, char to) {
    auto bytes = whole;
    bytes[at] = static_cast<std::uint8_t>(to);
    return bytes;
  };
  EXPECT_TRUE(refused(changed(5, '2')));    // another format
  EXPECT_TRUE(refused(changed(20, 'x')));   // not hexadecimal
  EXPECT_TRUE(refused(changed(94, '7')));   // a name of 7 * 2^28 bytes
  EXPECT_TRUE(refused(changed(111, '/')));  // "a/" is not in normal form: the name's zero is gone
  auto more = whole;
  more.push_back(1);
  EXPECT_TRUE(refused(more));
}

TEST(FileTree, KeepsNamesInside) {
  EXPECT_EQ(*normal_path("./usr//lib/x/"), "usr/lib/x");
  for (const char* name : {"/etc/passwd", "..", "a/../../b", "", ".", "./"})
    EXPECT_FALSE(normal_path(name)) << name;
  EXPECT_FALSE(normal_path(std::string_view("a\0b", 3)));
}

// What lies behind a link of the tree goes where the link leads, within the tree.
TEST(FileTree, FollowsLinksAmongParentsWithin) {
  auto contents = spool();
  FileTree tree;
  ASSERT_TRUE(tree.put("usr/lib", directory_node()));
  ASSERT_TRUE(tree.put("lib", link_node("usr/lib")));
  ASSERT_TRUE(tree.put("out", link_node("../../..")));
  ASSERT_TRUE(tree.put("absolute", link_node("/usr")));
  ASSERT_TRUE(tree.put("round", link_node("round/round")));
  ASSERT_TRUE(tree.put("lib/a", file(contents, "a")));
  ASSERT_TRUE(tree.put("out/b", file(contents, "b")));
  ASSERT_TRUE(tree.put("absolute/lib/c", file(contents, "c")));
  EXPECT_NE(tree.find("usr/lib/a"), nullptr);
  EXPECT_NE(tree.find("b"), nullptr);
  EXPECT_NE(tree.find("usr/lib/c"), nullptr);
  EXPECT_FALSE(tree.put("round/d", file(contents, "d")));
  EXPECT_FALSE(tree.put("usr/lib/a/e", file(contents, "e")));  // below a file
  EXPECT_FALSE(tree.put_hard_link("f", "lib"));
  EXPECT_FALSE(tree.put_hard_link("f", "nothing"));
  for (const auto& [path, node] : tree.entries()) EXPECT_EQ(*tree.resolve(path), path);
}

TEST(FileTree, ReplacesAndRemoves) {
  auto contents = spool();
  FileTree tree;
  ASSERT_TRUE(tree.put("a/b/c", file(contents, "c")));
  ASSERT_TRUE(tree.put("a-b", file(contents, "beside")));
  ASSERT_TRUE(tree.put("a", directory_node(0700)));  // a directory over a directory: what is in it stays
  EXPECT_NE(tree.find("a/b/c"), nullptr);
  EXPECT_EQ(tree.find("a")->mode, static_cast<mode_t>(S_IFDIR | 0700));
  ASSERT_TRUE(tree.put("a", file(contents, "now a file")));
  EXPECT_EQ(tree.find("a/b"), nullptr);
  EXPECT_NE(tree.find("a-b"), nullptr);
  EXPECT_TRUE(tree.remove("a"));
  EXPECT_FALSE(tree.remove("a"));
}

}  // namespace cloister::image
