// The listener: the enclave's only process that serves the network. Terminates TLS, parses HTTP, checks lane
// tickets; holds no package key, no NSM, no privilege.
#pragma once

#include "base/log.h"
#include "enclave/messages.h"
#include "enclave/trust.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxConnections = 512;           // control connections at once
inline constexpr std::size_t kMaxConnectionsPerClient = 160;  // a followed job holds one
inline constexpr std::size_t kMaxHandshakes = 128;            // connections whose client is not known yet
inline constexpr std::size_t kMaxLaneHellos = 32;             // lanes that have not said hello yet
inline constexpr sys::milliseconds kHandshakeTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kLaneHelloTimeout = sys::seconds(5);

struct ListenerChannels {
  sys::MessageSocket monitor;
  sys::MessageSocket keeper;
  sys::Fd control;  // listening socket: TLS
  sys::Fd lanes;    // listening socket: plain share lanes, by ticket
};

// Runs until the monitor or the keeper is gone.
Status run_listener(ListenerChannels channels, Mode mode, const Log& log);

}  // namespace cloister::enclave
