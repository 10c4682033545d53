// Packages of any size pass through a few MiB. Each direction runs in a child of its own, which tells its
// peak.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdlib>

#include "package/test_support.h"
#include "sys/process.h"

namespace cloister::package {
namespace {

using test::FixedKeySource;
using test::must;
using test::TempTree;

constexpr long kMaxPeakMib = 64;

// CLOISTER_BIG_MIB=4096 for the full size; the default keeps CI short.
std::uint64_t size_mib() {
  const char* text = std::getenv("CLOISTER_BIG_MIB");
  return text == nullptr ? 512 : std::strtoull(text, nullptr, 10);
}

// Runs the body in a child; its exit code is the peak in MiB, or 255 if the body threw.
sys::Child measured(const std::function<void()>& body) {
  return must(sys::fork_child([&] {
    try {
      body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      return 255;
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<int>(std::min(usage.ru_maxrss / 1024, 254L));
  }));
}

void expect_small(sys::Child& child, const char* who) {
  auto status = must(child.wait());
  EXPECT_FALSE(status.signalled) << who;
  EXPECT_LT(status.code, kMaxPeakMib) << who << ": peak in MiB";
  testing::Test::RecordProperty(std::string(who) + "_peak_mib", status.code);
  EXPECT_GT(status.code, 0) << who << ": nothing measured";
}

#if defined(__has_feature)
#define CLOISTER_FEATURE(name) __has_feature(name)
#else
#define CLOISTER_FEATURE(name) 0
#endif

bool sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || CLOISTER_FEATURE(address_sanitizer) || \
    CLOISTER_FEATURE(thread_sanitizer)
  return true;
#else
  return false;
#endif
}

// Incompressible segments, so that all of it passes the cipher.
TEST(MemoryTest, SegmentsStreamInConstantMemory) {
  if (sanitized()) GTEST_SKIP() << "a sanitizer's shadow memory is no measure";
  auto pipe = must(sys::make_pipe());
  Bytes stream_header(kStreamHeaderSize);
  stream_header[0] = kStreamHeaderSize;
  const auto total = size_mib() * kMib;
  auto key = [&] { return must(derive_stream_key(Secret(test::counting(32, 0)), {}, stream_header)); };
  auto writer = measured([&] {
    pipe.read.reset();
    SegmentWriter segments(key(),
                           [&](ByteView bytes) { return sys::write_all(pipe.write.get(), bytes, "pipe"); });
    Bytes chunk = crypto::random_bytes(256 * 1024);
    for (std::uint64_t done = 0; done < total; done += chunk.size()) must(segments.write(chunk));
    must(segments.finish());
  });
  auto reader = measured([&] {
    pipe.write.reset();
    std::uint64_t seen = 0;
    must(decrypt_segments(pipe.read.get(), key(), [&](ByteView bytes) {
      seen += bytes.size();
      return Status{};
    }));
    if (seen != total) throw std::runtime_error("bytes are missing");
  });
  pipe.read.reset();
  pipe.write.reset();
  expect_small(writer, "writer");
  expect_small(reader, "reader");
}

// From a sparse file through tar, zstd and cipher to a file again.
TEST(MemoryTest, PackagesStreamInConstantMemory) {
  if (sanitized()) GTEST_SKIP() << "a sanitizer's shadow memory is no measure";
  TempTree source;
  TempTree target;
  source.write("big", "start");
  std::filesystem::resize_file(source / "big", size_mib() * kMib);
  auto pipe = must(sys::make_pipe());
  auto packer = measured([&] {
    pipe.read.reset();
    FixedKeySource keys;
    must(write_package(source.open(), {.name = "big", .release = "1"}, keys, test::fixed_signer(1),
                       pipe.write.get()));
  });
  auto unpacker = measured([&] {
    pipe.write.reset();
    auto start = must(read_start(pipe.read.get()));
    auto key = must(derive_stream_key(Secret(test::counting(32, 0)), start.prefix, start.stream_header));
    auto directory = target.open();
    ContentUnpacker content(directory, unpack_limits(start.header));
    must(decrypt_segments(pipe.read.get(), key, [&](ByteView bytes) { return content.write(bytes); }));
    if (must(content.finish()).bytes != size_mib() * kMib) throw std::runtime_error("bytes are missing");
  });
  pipe.read.reset();
  pipe.write.reset();
  expect_small(packer, "packer");
  expect_small(unpacker, "unpacker");
}

}  // namespace
}  // namespace cloister::package
