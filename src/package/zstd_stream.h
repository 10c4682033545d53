// One zstd frame (RFC 8878), in pieces.
#pragma once

#include <memory>

#include "package/sink.h"

namespace cloister::package {

// Windows are at most 2^23 bytes; up to level 14 a compressor takes less than 54 MiB, at level 19 about 90.
inline constexpr int kMinLevel = 1;
inline constexpr int kMaxLevel = 19;
inline constexpr int kDefaultLevel = 3;
inline constexpr int kMaxWindowLog = 27;  // readers refuse frames that need more than 2^27 bytes of window
inline constexpr std::size_t kZstdChunk = 128 * 1024;  // bytes passed on at a time

// write()… then finish() once. Not thread-safe.
class Compressor {
 public:
  Compressor(int level, Sink sink);
  Status write(ByteView bytes);
  Status finish();

 private:
  Status run(ByteView bytes, int directive);
  std::unique_ptr<void, void (*)(void*)> context_;
  Sink sink_;
  Bytes out_;
};

// Exactly one frame of today's format: no skippable and no legacy frame, no dictionary, nothing after it.
class Decompressor {
 public:
  explicit Decompressor(Sink sink);
  // corrupt: not a frame, a damaged one, or bytes after its end.
  Status write(ByteView bytes);
  // corrupt: the frame is not complete.
  Status finish() const;

 private:
  Status check_magic(ByteView bytes);
  std::unique_ptr<void, void (*)(void*)> context_;
  Sink sink_;
  Bytes out_;
  std::size_t magic_seen_ = 0;
  bool ended_ = false;
};

}  // namespace cloister::package
