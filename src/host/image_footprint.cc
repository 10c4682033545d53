#include "host/image_footprint.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "image/cpio_count.h"
#include "package/zstd_stream.h"

namespace cloister::host {

namespace {

constexpr std::size_t kChunk = 128 * 1024;  // bytes
constexpr int kGzip = 16 + MAX_WBITS;       // zlib.h, inflateInit2: a gzip header is expected
// What a ramdisk begins with: lib/decompress.c of Linux has them all.
constexpr ByteArray<4> kZstd = {0x28, 0xb5, 0x2f, 0xfd};
constexpr ByteArray<2> kGzipMagic = {0x1f, 0x8b};
constexpr std::string_view kPlain = "0707";

struct EndInflate {
  void operator()(z_stream* stream) const {
    ::inflateEnd(stream);
    delete stream;  // NOLINT(cppcoreguidelines-owning-memory)
  }
};

// Takes a ramdisk's bytes in pieces, and hands on what they unpack to.
class Unpacker {
 public:
  virtual ~Unpacker() = default;
  virtual Status write(ByteView bytes) = 0;
  virtual Status finish() = 0;
};

// A gzip member (RFC 1952); what stands after it is passed over.
class Gunzip final : public Unpacker {
 public:
  explicit Gunzip(package::Sink sink) : stream_(new z_stream{}), out_(kChunk), sink_(std::move(sink)) {
    ok_ = ::inflateInit2(stream_.get(), kGzip) == Z_OK;
  }

  Status write(ByteView in) override {
    if (ended_) return {};
    stream_->next_in = const_cast<std::uint8_t*>(in.data());
    stream_->avail_in = static_cast<unsigned>(in.size());
    do {
      stream_->next_out = out_.data();
      stream_->avail_out = static_cast<unsigned>(out_.size());
      int code = ok_ ? ::inflate(stream_.get(), Z_NO_FLUSH) : Z_DATA_ERROR;
      if (code == Z_BUF_ERROR) return {};  // it wants more
      if (code != Z_OK && code != Z_STREAM_END) return fail(ErrorKind::corrupt, "gzip: damaged");
      ended_ = code == Z_STREAM_END;
      TRY(sink_(ByteView(out_).first(out_.size() - stream_->avail_out)));
    } while (!ended_ && (stream_->avail_in > 0 || stream_->avail_out == 0));
    return {};
  }
  Status finish() override {
    return ended_ ? Status{} : fail(ErrorKind::corrupt, "gzip: its end is missing");
  }

 private:
  std::unique_ptr<z_stream, EndInflate> stream_;
  Bytes out_;
  package::Sink sink_;
  bool ok_ = false;
  bool ended_ = false;
};

class Zstd final : public Unpacker {
 public:
  explicit Zstd(package::Sink sink) : decompressor_(std::move(sink)) {}
  Status write(ByteView bytes) override { return decompressor_.write(bytes); }
  Status finish() override { return decompressor_.finish(); }

 private:
  package::Decompressor decompressor_;
};

class Plain final : public Unpacker {
 public:
  explicit Plain(package::Sink sink) : sink_(std::move(sink)) {}
  Status write(ByteView bytes) override { return sink_(bytes); }
  Status finish() override { return {}; }

 private:
  package::Sink sink_;
};

// By its first bytes; null: packed in another way.
std::unique_ptr<Unpacker> choose(ByteView bytes, package::Sink sink) {
  auto begins = [&](ByteView with) {
    return bytes.size() >= with.size() && std::ranges::equal(with, bytes.first(with.size()));
  };
  if (begins(kZstd)) return std::make_unique<Zstd>(std::move(sink));
  if (begins(kGzipMagic)) return std::make_unique<Gunzip>(std::move(sink));
  if (begins(as_bytes(kPlain))) return std::make_unique<Plain>(std::move(sink));
  return nullptr;
}

// nullopt: packed in another way.
Result<std::optional<image::CpioCount>> count(const image::Eif& image, const image::EifSection& ramdisk) {
  image::CpioCounter counter;
  std::uint64_t unpacked = 0;
  auto sink = [&](ByteView bytes) -> Status {
    unpacked += bytes.size();
    if (unpacked > kMaxUnpacked)
      return fail(ErrorKind::exhausted, "a ramdisk of more than {} GiB", kMaxUnpacked >> 30);
    return counter.write(bytes);
  };
  std::unique_ptr<Unpacker> unpacker;
  bool begun = false;
  TRY(image.stream(ramdisk, [&](ByteView bytes) -> Status {
    if (!begun) unpacker = choose(bytes, sink);
    begun = true;
    return unpacker ? unpacker->write(bytes) : Status{};
  }));
  if (!unpacker) return std::optional<image::CpioCount>();
  TRY(unpacker->finish());
  return TRY(counter.finish());
}

}  // namespace

Result<image::Footprint> footprint_of(const image::Eif& image) {
  image::Footprint out;
  for (const auto& ramdisk : image.ramdisks()) {
    out.packed_bytes += ramdisk.size;
    auto counted = TRY(count(image, ramdisk).context(image.path()));
    out.known = out.known && counted;
    if (!counted) continue;
    out.content_bytes += counted->content_bytes;
    out.unpacked_bytes += counted->unpacked_bytes;
  }
  return out;
}

Status check_memory(const image::Eif& image, std::uint64_t memory_mib) {
  auto footprint = footprint_of(image);
  // Whether it boots at all is not for this to say.
  if (!footprint) return {};
  auto least = image::least_memory_mib(*footprint);
  if (memory_mib >= least) return {};
  Error error(ErrorKind::exhausted,
              fmt::format("{} MiB of memory are too little for {}: it does not come up with less than {}",
                          memory_mib, image.path(), least));
  return std::unexpected(std::move(error).with_hint(
      fmt::format("--memory {} lets it stand there; applications and folders come on top",
                  image::advised_memory_mib(*footprint))));
}

}  // namespace cloister::host
