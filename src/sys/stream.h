// Stream: an ordered, reliable byte stream with deadlines. Sockets implement it here, TLS in src/crypto; HTTP
// speaks over any. Not thread-safe: one reader and one writer thread at most, and only where the class says
// so.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "sys/clock.h"
#include "sys/fd.h"

namespace cloister::sys {

class Stream {
 public:
  virtual ~Stream() = default;

  // Reads at least one byte and at most buffer.size(). 0 means the peer closed in an orderly way.
  // unavailable: deadline passed or connection lost.
  virtual Result<std::size_t> read_some(MutableByteView buffer) = 0;
  // Writes all of it.
  virtual Status write_all(ByteView bytes) = 0;
  // Tells the peer that nothing more comes; reading goes on.
  virtual Status shutdown_write() = 0;
  // Applies to every following call until set anew.
  virtual void set_deadline(Deadline deadline) = 0;
  // The descriptor underneath, for poll(2) of readability between messages. Owned by the stream.
  virtual int descriptor() const = 0;
};

// Reads exactly buffer.size() bytes; an earlier end is `unavailable`.
Status read_exactly(Stream& stream, MutableByteView buffer);

// A stream over any pollable descriptor (socket, pipe). Makes it non-blocking: deadlines come from poll(2).
// One thread may read while another writes.
class FdStream final : public Stream {
 public:
  explicit FdStream(Fd fd);

  Result<std::size_t> read_some(MutableByteView buffer) override;
  Status write_all(ByteView bytes) override;
  // Writes as much as goes without waiting, and says how much: 0 if nothing does.
  Result<std::size_t> write_what_fits(ByteView bytes);
  Status shutdown_write() override;
  void set_deadline(Deadline deadline) override { deadline_ = deadline; }
  int descriptor() const override { return fd_.get(); }

  // Gives the descriptor away, blocking again; the stream is empty afterwards.
  Fd release();

 private:
  Fd fd_;
  Deadline deadline_;
};

// Waits until one of poll(2)'s events holds. unavailable: the deadline passed.
Status wait_for(int fd, short events, Deadline deadline, std::string_view what);

// Copies both ways until both sides have closed, an error, or nothing has moved for `idle`.
// Half-closes are passed on. `moved` counts the bytes copied, first to second and back, however it ends: many
// a peer resets its connection when it has what it wants.
struct Relayed {
  std::uint64_t forward = 0;
  std::uint64_t back = 0;
};
Status relay(Fd first, Fd second, milliseconds idle, Relayed& moved);

}  // namespace cloister::sys
