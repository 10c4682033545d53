#include "image/cpio_count.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "image/cpio.h"

namespace cloister::image {
namespace {

constexpr std::uint64_t kPage = 4096;

Bytes archive() {
  auto contents = *Spool::create("/tmp");
  FileTree tree;
  auto put = [&](const char* path, std::size_t size) {
    Node node;
    node.mode = S_IFREG | 0644;
    node.content = *contents.add(Bytes(size, 'x'));
    EXPECT_TRUE(tree.put(path, node));
  };
  put("a/one", 1);
  put("a/page", kPage);
  put("a/more", kPage + 1);
  put("empty", 0);
  EXPECT_TRUE(tree.put("link", link_node("a/one")));
  Bytes out;
  EXPECT_TRUE(write_cpio(tree, contents, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  }));
  return out;
}

Result<CpioCount> count(ByteView bytes, std::size_t at_a_time) {
  CpioCounter counter;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(at_a_time, bytes.size())))
    TRY(counter.write(bytes.first(std::min(at_a_time, bytes.size()))));
  return counter.finish();
}

TEST(CpioCount, CountsPagesHoweverTheBytesCome) {
  for (std::size_t at_a_time : {1U, 7U, 110U, 4096U, 1'000'000U}) {
    auto counted = count(archive(), at_a_time);
    ASSERT_TRUE(counted) << at_a_time;
    EXPECT_EQ(counted->entries, 6U);
    EXPECT_EQ(counted->content_bytes, 4 * kPage);   // 1, 1 and 2
    EXPECT_EQ(counted->unpacked_bytes, 7 * kPage);  // the folder, the empty file and the link, too
  }
}

TEST(CpioCount, TakesArchivesInARowAsTheKernelDoes) {
  auto bytes = archive();
  bytes.resize(bytes.size() + 512);
  append(bytes, archive());
  EXPECT_EQ(count(bytes, 1000)->content_bytes, 8 * kPage);
}

TEST(CpioCount, RefusesWhatIsNone) {
  auto bytes = archive();
  EXPECT_FALSE(count({}, 1));
  EXPECT_FALSE(count(Bytes(4096, 0), 1000));
  EXPECT_FALSE(count(Bytes(4096, 'x'), 1000));
  for (std::size_t size : {std::size_t{50}, bytes.size() / 2, bytes.size() - 8})
    EXPECT_FALSE(count(ByteView(bytes).first(size), 1000)) << size;
  auto digits = bytes;
  digits[60] = 'g';
  EXPECT_FALSE(count(digits, 1000));
  auto after = bytes;
  append(after, as_bytes(std::string(200, 'y')));
  EXPECT_FALSE(count(after, 1000));
}

}  // namespace
}  // namespace cloister::image
