#include "package/stream_writer.h"

#include <algorithm>

namespace cloister::package {

ByteArray<crypto::kGcmNonceSize> segment_nonce(const ByteArray<kNoncePrefixSize>& prefix,
                                               std::uint32_t segment, bool last) {
  ByteArray<crypto::kGcmNonceSize> nonce{};
  auto at = std::ranges::copy(prefix, nonce.begin()).out;
  for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<std::uint8_t>(segment >> shift);
  *at = last ? 1 : 0;
  return nonce;
}

SegmentWriter::SegmentWriter(const StreamKey& key, Sink sink)
    : aead_(key.key),
      nonce_prefix_(key.nonce_prefix),
      sink_(std::move(sink)),
      plaintext_(kSegmentPlaintext),
      ciphertext_(kSegmentSize) {}

SegmentWriter::~SegmentWriter() {
  wipe(plaintext_);
}

Status SegmentWriter::write(ByteView plaintext) {
  while (!plaintext.empty()) {
    // A full segment waits for the next byte: only then is it known not to be the last.
    if (filled_ == capacity()) TRY(seal(false));
    auto taken = plaintext.first(std::min(plaintext.size(), capacity() - filled_));
    std::ranges::copy(taken, plaintext_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ += taken.size();
    plaintext = plaintext.subspan(taken.size());
  }
  return {};
}

Status SegmentWriter::finish() {
  return seal(true);
}

Status SegmentWriter::seal(bool last) {
  if (segment_ >= kMaxSegments)
    return fail(ErrorKind::exhausted, "content: more than {} segments", kMaxSegments);
  auto nonce = segment_nonce(nonce_prefix_, static_cast<std::uint32_t>(segment_), last);
  auto out = MutableByteView(ciphertext_).first(filled_ + crypto::kGcmTagSize);
  aead_.seal(nonce, {}, ByteView(plaintext_).first(filled_), out);
  ++segment_;
  filled_ = 0;
  return sink_(out);
}

}  // namespace cloister::package
