// The reading side of a connection: heads and bodies out of a stream. Internal to the room. Not thread-safe.
#pragma once

#include <limits>
#include <string>

#include "base/secret.h"
#include "http/head.h"
#include "sys/stream.h"

namespace cloister::http {

inline constexpr std::size_t kInputBuffer = 16 * 1024;  // bytes read ahead; holds any head
inline constexpr std::size_t kMaxChunkLine = 256;       // bytes: size, extensions, line break
inline constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// Buffered input over a stream that outlives it. Wipes itself: bodies carry keys and credentials.
class Input {
 public:
  explicit Input(sys::Stream& stream) : stream_(stream), buffer_(kInputBuffer) {}
  ~Input() { wipe(buffer_); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  std::string_view buffered() const { return as_text(ByteView(buffer_).subspan(begin_, end_ - begin_)); }
  void consume(std::size_t count) { begin_ += count; }
  // Waits for bytes if there are none; false if the peer closed instead.
  Taken<bool> await();
  // A whole head with its blank line.
  Taken<std::string> head();
  // A line without its CRLF, at most max bytes with it. Valid until the next call of head(), line() or
  // await().
  Taken<std::string_view> line(std::size_t max);

 private:
  Taken<bool> fill();
  sys::Stream& stream_;
  Bytes buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// One body, piece by piece.
class Body {
 public:
  // max: bytes of the whole body.
  Body(Input& input, Framing framing, std::uint64_t max)
      : input_(input), framing_(framing), allowance_(max) {}

  // The next piece, empty at the end. Valid until the next call. Trailer fields are dropped.
  Taken<std::string_view> next();
  // All that is left, in one string of which no copies stay behind.
  Taken<std::string> whole();

 private:
  Taken<void> begin();
  Taken<void> next_chunk();
  Taken<void> skip_trailer();
  Taken<void> take_allowance(std::uint64_t size);

  Input& input_;
  Framing framing_;
  std::uint64_t allowance_;
  std::uint64_t left_ = 0;  // of the body or the chunk
  bool begun_ = false;
  bool between_chunks_ = false;
  bool ended_ = false;
};

// A head and not a byte more, for streams that go on as something else.
Taken<std::string> read_head_exactly(sys::Stream& stream);

}  // namespace cloister::http
