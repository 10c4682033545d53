// The framing of FUSE messages on a stream, and structs as bytes. A message starts with its own length.
#pragma once

#include <linux/fuse.h>

#include <cstring>
#include <optional>
#include <type_traits>

#include "base/bytes.h"
#include "fuse/limits.h"
#include "sys/stream.h"

namespace cloister::fuse {

// FUSE's structs have no implicit padding, so that all of their bytes are ours to send.
template <class T>
ByteView bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

// The T that starts at `offset`; the caller has checked that it lies within.
template <class T>
T load(ByteView bytes, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}
template <class T>
void store(MutableByteView bytes, const T& value, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(bytes.subspan(offset, sizeof value).data(), &value, sizeof value);
}

// Cuts a stream into messages. One thread.
class MessageReader {
 public:
  // least: the size of the header that every message starts with; most: kMaxMessage or less.
  MessageReader(sys::Stream& stream, std::size_t least, std::size_t most);

  // The next message, valid until the next call; nothing when the peer closed between two messages.
  // invalid: a length outside the bounds. unavailable: cut off, or the stream's deadline passed.
  Result<std::optional<MutableByteView>> next();

 private:
  Result<bool> fill(std::size_t wanted);
  sys::Stream& stream_;
  std::size_t least_;
  std::size_t most_;
  Bytes buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace cloister::fuse
