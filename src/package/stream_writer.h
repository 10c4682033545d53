// SegmentWriter: plaintext bytes in, ciphertext segments out, as Tink's AES256_GCM_HKDF_1MB streaming AEAD
// lays them out.
#pragma once

#include <optional>

#include "crypto/aead.h"
#include "package/keys.h"
#include "package/sink.h"

namespace cloister::package {

inline constexpr std::size_t kSegmentSize = 1024 * 1024;  // bytes of ciphertext, tag included
// The first one is shorter, so that stream header and segment together are kSegmentSize.
inline constexpr std::size_t kFirstSegmentSize = kSegmentSize - kStreamHeaderSize;
inline constexpr std::size_t kSegmentPlaintext = kSegmentSize - crypto::kGcmTagSize;
inline constexpr std::size_t kFirstSegmentPlaintext = kFirstSegmentSize - crypto::kGcmTagSize;
inline constexpr std::uint64_t kMaxSegments = std::uint64_t{1} << 32;  // the counter has 32 bits

// prefix (7) ‖ segment number, big-endian (4) ‖ 1 for the last segment, else 0.
ByteArray<crypto::kGcmNonceSize> segment_nonce(const ByteArray<kNoncePrefixSize>& prefix,
                                               std::uint32_t segment, bool last);

// One content: write()… then finish() once. Does not write the stream header. Not thread-safe.
class SegmentWriter {
 public:
  SegmentWriter(const StreamKey& key, Sink sink);
  ~SegmentWriter();  // wipes what is buffered
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  Status write(ByteView plaintext);
  // Seals the last segment, which is empty only when the whole content is.
  Status finish();

 private:
  std::size_t capacity() const { return segment_ == 0 ? kFirstSegmentPlaintext : kSegmentPlaintext; }
  Status seal(bool last);

  crypto::AesGcm aead_;
  ByteArray<kNoncePrefixSize> nonce_prefix_;
  Sink sink_;
  std::uint64_t segment_ = 0;
  Bytes plaintext_;
  std::size_t filled_ = 0;
  Bytes ciphertext_;
};

}  // namespace cloister::package
