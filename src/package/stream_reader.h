// The other direction of stream_writer.h.
#pragma once

#include <cstdint>
#include <functional>

#include "package/keys.h"
#include "package/sink.h"

namespace cloister::package {

// Reads ciphertext segments (after the stream header) up to the end of the descriptor's bytes and passes the
// plaintext of each on only after its tag has been verified. Holds one segment at a time. Success means that
// the last segment was authenticated as the last: until then what the sink got is a beginning and nothing may
// act on it. corrupt: flipped bits, truncation (also between segments), appended bytes, segments out of
// order. Returns the bytes of plaintext.
Result<std::uint64_t> decrypt_segments(int in_fd, const StreamKey& key, const Sink& sink);

}  // namespace cloister::package
