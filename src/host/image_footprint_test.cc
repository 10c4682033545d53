#include "host/image_footprint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include "image/cpio.h"
#include "image/eif_testing.h"
#include "package/zstd_stream.h"

namespace cloister::host {
namespace {

constexpr std::uint64_t kMib = 1024 * 1024;

std::string archive(std::size_t content) {
  auto contents = *image::Spool::create("/tmp");
  image::FileTree tree;
  image::Node node;
  node.mode = S_IFREG | 0644;
  node.content = *contents.add(Bytes(content, 'x'));
  EXPECT_TRUE(tree.put("file", node));
  std::string out;
  EXPECT_TRUE(image::write_cpio(tree, contents, [&](ByteView bytes) {
    out += as_text(bytes);
    return Status{};
  }));
  return out;
}

std::string gzipped(std::string plain) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(plain.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<unsigned>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<unsigned>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& plain) {
  std::string out;
  package::Compressor compressor(1, [&](ByteView bytes) {
    out += as_text(bytes);
    return Status{};
  });
  EXPECT_TRUE(compressor.write(as_bytes(plain)));
  EXPECT_TRUE(compressor.finish());
  return out;
}

class ImageFootprint : public testing::Test {
 protected:
  image::Eif with(const std::string& first, const std::string& second) {
    auto parts = shop_.parts();
    parts.ramdisk_paths = {shop_.file("r1", first), shop_.file("r2", second)};
    EXPECT_TRUE(image::write_eif(shop_.path("x.eif"), parts));
    return *image::Eif::open(shop_.path("x.eif"));
  }
  image::Workshop shop_;
};

TEST_F(ImageFootprint, LooksIntoWhatCloisterAndNitroCliPack) {
  auto plain = archive(3 * kMib);
  for (const auto& ramdisk : {plain, gzipped(plain), zstd(plain), gzipped(plain) + std::string(512, '\0')}) {
    auto found = footprint_of(with(ramdisk, zstd(archive(10))));
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_TRUE(found->known);
    EXPECT_EQ(found->content_bytes, 3 * kMib + 4096);
    EXPECT_EQ(found->packed_bytes, ramdisk.size() + zstd(archive(10)).size());
  }
}

TEST_F(ImageFootprint, SaysWhatItCannotKnow) {
  auto found = footprint_of(with(zstd(archive(10)),
                                 "\xfd"
                                 "7zXZ and so on"));
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->known);
}

TEST_F(ImageFootprint, RefusesWhatTheKernelWouldNotUnpack) {
  auto whole = zstd(archive(kMib));
  EXPECT_FALSE(footprint_of(with(whole.substr(0, whole.size() / 2), whole)));
  auto zipped = gzipped(archive(kMib));
  EXPECT_FALSE(footprint_of(with(zipped.substr(0, zipped.size() / 2), whole)));
  EXPECT_FALSE(footprint_of(with(zstd("no archive"), whole)));
}

TEST_F(ImageFootprint, RefusesTooLittleMemory) {
  auto image = with(zstd(archive(100 * kMib)), zstd(archive(10)));
  EXPECT_TRUE(check_memory(image, 256));
  auto refused = check_memory(image, 192);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::exhausted);
  EXPECT_NE(refused.error().hint().find("--memory 448"), std::string::npos) << refused.error().hint();
}

}  // namespace
}  // namespace cloister::host
