#include "package/stream_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "package/stream_writer.h"

namespace cloister::package {

namespace {

// Reads until the buffer is full or the bytes end.
Result<std::size_t> read_up_to(int fd, MutableByteView out) {
  std::size_t done = 0;
  while (done < out.size()) {
    ssize_t n = ::read(fd, out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("package content");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

// One content being read: a segment and the first byte of the next, which tells whether there is one.
class SegmentReader {
 public:
  SegmentReader(int fd, const StreamKey& key)
      : fd_(fd),
        nonce_prefix_(key.nonce_prefix),
        aead_(key.key),
        ciphertext_(kSegmentSize + 1),
        plaintext_(kSegmentPlaintext) {}

  Result<std::uint64_t> run(const Sink& sink) {
    for (bool last = false; !last;) last = TRY(next(sink));
    return total_;
  }

 private:
  // Whether it was the last.
  Result<bool> next(const Sink& sink) {
    if (segment_ >= kMaxSegments)
      return fail(ErrorKind::corrupt, "package content: more than {} segments", kMaxSegments);
    auto size = segment_ == 0 ? kFirstSegmentSize : kSegmentSize;
    held_ += TRY(read_up_to(fd_, MutableByteView(ciphertext_).subspan(held_, size + 1 - held_)));
    bool last = held_ <= size;
    auto ciphertext = ByteView(ciphertext_).first(std::min(held_, size));
    auto plaintext = TRY(open(ciphertext, last));
    total_ += plaintext.size();
    if (!plaintext.empty()) TRY(sink(plaintext));
    ciphertext_[0] = ciphertext_[size];
    held_ = 1;
    ++segment_;
    return last;
  }

  Result<ByteView> open(ByteView ciphertext, bool last) {
    // An empty last segment after others is not what a writer makes, though it would verify: one encoding for
    // each content.
    auto least = crypto::kGcmTagSize + (segment_ == 0 ? 0 : 1);
    if (ciphertext.size() < least)
      return fail(ErrorKind::corrupt, "package content: truncated in segment {}", segment_);
    auto out = plaintext_.mutable_view().first(ciphertext.size() - crypto::kGcmTagSize);
    auto nonce = segment_nonce(nonce_prefix_, static_cast<std::uint32_t>(segment_), last);
    if (!aead_.open(nonce, {}, ciphertext, out)) {
      return fail(ErrorKind::corrupt, "package content: segment {} is damaged, out of place or not the end",
                  segment_);
    }
    return ByteView(out);
  }

  int fd_;
  const ByteArray<kNoncePrefixSize>& nonce_prefix_;
  crypto::AesGcm aead_;
  Bytes ciphertext_;
  Secret plaintext_;
  std::size_t held_ = 0;
  std::uint64_t segment_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

Result<std::uint64_t> decrypt_segments(int in_fd, const StreamKey& key, const Sink& sink) {
  return SegmentReader(in_fd, key).run(sink);
}

}  // namespace cloister::package
