#include "fuse/wire.h"

namespace cloister::fuse {

MessageReader::MessageReader(sys::Stream& stream, std::size_t least, std::size_t most)
    : stream_(stream), least_(least), most_(most), buffer_(most) {}

// Has `wanted` bytes of the current message in the buffer; false if the stream ended before its first byte.
Result<bool> MessageReader::fill(std::size_t wanted) {
  while (end_ - begin_ < wanted) {
    if (begin_ + wanted > buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    auto n = TRY(stream_.read_some(MutableByteView(buffer_).subspan(end_)));
    if (n == 0 && begin_ == end_) return false;
    if (n == 0) return fail(ErrorKind::unavailable, "the peer closed inside a message");
    end_ += n;
  }
  return true;
}

Result<std::optional<MutableByteView>> MessageReader::next() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (!TRY(fill(least_))) return std::nullopt;
  std::size_t length = load<std::uint32_t>(buffer_, begin_);
  if (length < least_ || length > most_) return fail(ErrorKind::invalid, "a message of {} bytes", length);
  TRY(fill(length));
  auto message = MutableByteView(buffer_).subspan(begin_, length);
  begin_ += length;
  return message;
}

}  // namespace cloister::fuse
