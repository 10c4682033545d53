// Ramdisks of images that somebody else made. What is read can be written, and reads back as the same; what
// it will take in memory does not depend on the pieces in which it comes.
#include <algorithm>
#include <cstdlib>

#include "image/cpio.h"
#include "image/cpio_count.h"

using namespace cloister;
using namespace cloister::image;

namespace {

constexpr std::size_t kPieces = 61;  // bytes at a time

void require(bool condition) {
  if (!condition) std::abort();
}

bool read(ByteView bytes, FileTree& tree, Spool& spool) {
  CpioReader reader(tree, spool);
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(bytes.size(), kPieces));
    bytes = bytes.subspan(piece.size());
    if (!reader.write(piece)) return false;
  }
  return reader.finish().has_value();
}

Result<CpioCount> count(ByteView bytes, std::size_t most) {
  CpioCounter counter;
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(bytes.size(), most));
    bytes = bytes.subspan(piece.size());
    TRY(counter.write(piece));
  }
  return counter.finish();
}

bool alike(const Result<CpioCount>& one, const Result<CpioCount>& other) {
  if (!one || !other) return one.has_value() == other.has_value();
  return one->entries == other->entries && one->content_bytes == other->content_bytes &&
         one->unpacked_bytes == other->unpacked_bytes;
}

Bytes written(const FileTree& tree, const Spool& spool) {
  Bytes out;
  require(write_cpio(tree, spool, [&](ByteView bytes) {
            append(out, bytes);
            return Status{};
          }).has_value());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FileTree tree;
  auto spool = Spool::create("/tmp");
  require(spool.has_value());
  auto counted = count({data, size}, kPieces);
  require(alike(counted, count({data, size}, std::max<std::size_t>(size, 1))));
  if (!read({data, size}, tree, *spool)) return 0;
  require(counted.has_value() && counted->content_bytes <= counted->unpacked_bytes);
  for (const auto& [path, node] : tree.entries()) {
    auto normal = normal_path(path);
    require(normal.has_value() && *normal == path);
    auto place = tree.resolve(path);
    require(place.has_value() && *place == path);
  }
  auto once = written(tree, *spool);
  FileTree again;
  auto other = Spool::create("/tmp");
  require(other.has_value() && read(once, again, *other) && written(again, *other) == once);
  return 0;
}
