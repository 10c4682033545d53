// The bridge between OpenSSL and sys::Stream: a BIO that reads from the stream and gathers what is written
// until it is flushed, so that a large write is not one system call per TLS record.
#pragma once

#include <memory>
#include <optional>

#include "crypto/handles.h"
#include "sys/stream.h"

namespace cloister::crypto {

// Owned by the TLS session; its BIOs borrow it. One thread at a time.
class TransportBridge {
 public:
  explicit TransportBridge(std::unique_ptr<sys::Stream> stream) : stream_(std::move(stream)) {}
  TransportBridge(const TransportBridge&) = delete;
  TransportBridge& operator=(const TransportBridge&) = delete;

  // A BIO over this bridge, which must outlive it.
  Handle<bio_st> make_bio();

  // To be called before each operation of the session: from its second read on, an operation checks the
  // deadline itself, because a peer that always has bytes ready never lets the transport wait.
  void begin_operation() { reads_ = 0; }
  void set_deadline(sys::Deadline deadline) {
    deadline_ = deadline;
    stream_->set_deadline(deadline);
  }
  int descriptor() const { return stream_->descriptor(); }

  // Sends what was gathered. A failure stays: nobody knows how much the peer has got.
  Status flush();
  // What the transport answered when it last failed, once.
  std::optional<Error> take_error() { return std::exchange(error_, std::nullopt); }

  // For the BIO. read: 0 at the end of the stream, -1 for an error; write: false for an error.
  int read(MutableByteView out);
  bool write(ByteView bytes);
  bool ended() const { return ended_; }

 private:
  std::unique_ptr<sys::Stream> stream_;
  sys::Deadline deadline_;
  Bytes outgoing_;
  std::optional<Error> error_;
  int reads_ = 0;
  bool ended_ = false;
  bool write_failed_ = false;
};

}  // namespace cloister::crypto
