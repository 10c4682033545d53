// The hello of a lane: what both ends say before FUSE messages flow (docs/formats/share.md). Whoever accepts
// the connection in the enclave reads the hello, redeems the ticket, answers, and passes the socket to the
// share server.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "fuse/limits.h"
#include "share/limits.h"
#include "sys/stream.h"

namespace cloister::share {

inline constexpr std::uint16_t kLaneVersion = 1;
inline constexpr std::size_t kTicketBytes = 32;
inline constexpr std::size_t kHelloBytes = 40;
inline constexpr std::size_t kHelloReplyBytes = 16;

enum class LaneKind : std::uint16_t {
  requests = 1,       // client → enclave: requests; enclave → client: their replies
  notifications = 2,  // enclave → client: invalidations and fences; client → enclave: fences passed
};

struct Hello {
  LaneKind kind = LaneKind::requests;
  ByteArray<kTicketBytes> ticket{};

  ByteArray<kHelloBytes> encode() const;
  // invalid: not exactly a hello of this version.
  static Result<Hello> decode(ByteView bytes);
};

enum class LaneStatus : std::uint16_t {
  ok = 0,
  refused = 1,  // unknown, used or expired ticket
  full = 2,     // too many lanes or mounts
};

struct HelloReply {
  LaneStatus status = LaneStatus::ok;
  std::uint32_t max_write = fuse::kMaxWrite;
  std::uint32_t max_lanes = kMaxLanes;

  ByteArray<kHelloReplyBytes> encode() const;
  // invalid: another magic or version, an unknown status, or limits outside ours.
  static Result<HelloReply> decode(ByteView bytes);
};

// In the enclave. Reads exactly kHelloBytes, so that what follows stays in the socket.
Result<Hello> read_hello(sys::Stream& stream, sys::Deadline deadline = sys::Deadline::after(kHelloTimeout));
Status write_hello_reply(sys::Stream& stream, const HelloReply& reply,
                         sys::Deadline deadline = sys::Deadline::after(kHelloTimeout));

// On the client: both directions. denied: bad ticket; exhausted: no room for another lane. Clears the
// deadline.
Result<HelloReply> greet(sys::Stream& stream, const Hello& hello,
                         sys::Deadline deadline = sys::Deadline::after(kHelloTimeout));

}  // namespace cloister::share
