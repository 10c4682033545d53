// What both kinds of TLS share, for this room: the settings common to every session, and the session itself
// over a transport.
#pragma once

#include <memory>

#include "crypto/handles.h"
#include "crypto/tls.h"

namespace cloister::crypto {

enum class TlsSide { client, server };

// A context that keeps no state from one connection to the next (no tickets, no cache, no early data), allows
// neither compression nor renegotiation, and takes at most max_peer_chain bytes of certificates from the
// peer.
Result<Handle<ssl_ctx_st>> new_tls_context(TlsSide side, std::size_t max_peer_chain);

// The leaf's key and certificate, then those above it.
Status use_certificates(ssl_ctx_st* context, const PrivateKey& key, const std::vector<Certificate>& chain);

// Shakes hands and gives the stream. denied: the peer's certificate, or ours by the peer, or no common
// version or suite.
Result<std::unique_ptr<TlsStream>> tls_handshake(std::unique_ptr<sys::Stream> transport, Handle<ssl_st> ssl,
                                                 TlsSide side);

}  // namespace cloister::crypto
