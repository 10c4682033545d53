// The boot heartbeat: one byte that tells the parent that the enclave has come up. nitro-cli listens for it
// while `run-enclave` waits (aws-nitro-enclaves-cli, ENCLAVE_READY_VSOCK_PORT).
#pragma once

#include "sys/endpoint.h"

namespace cloister::boot {

inline constexpr std::uint32_t kHeartbeatPort = 9000;
inline constexpr std::uint8_t kHeartbeat = 0xb7;  // sent, and expected back
inline constexpr sys::milliseconds kHeartbeatTimeout = sys::seconds(5);

// unavailable: nobody answers. corrupt: somebody answers something else.
Status send_heartbeat(const sys::Endpoint& parent);

}  // namespace cloister::boot
