// TLS over any sys::Stream.
//
// Two uses. Attested TLS between client and enclave: version 1.3 only, no tickets, no PSK, no 0-RTT, no
// renegotiation, both sides show a self-signed certificate whose key *is* the identity; nothing is trusted
// until the attestation exchange bound to exporter() has been verified by the caller. And web TLS to KMS: 1.2
// or 1.3, chain verified against a CA bundle, host name checked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/x509.h"
#include "sys/stream.h"

namespace cloister::crypto {

inline constexpr std::size_t kExporterSize = 32;  // bytes
// RFC 8446 section 7.5 exporter label of the attested sessions; context is empty.
inline constexpr std::string_view kExporterLabel = "EXPORTER-cloister-tls-v1";

// A TLS session over a transport that it owns. Deadlines are the transport's own. read_some() answers 0 only
// after the peer's close_notify: a transport that merely ends is `unavailable`, and a record that was
// tampered with `corrupt`. After a passed deadline reading may go on; after a failed write nothing may.
// Dropping the stream sends nothing: shutdown_write() first, or the peer sees a cut. One thread at a time,
// reading and writing included.
class TlsStream : public sys::Stream {
 public:
  // The key of the peer's certificate, which it has proven to hold; not_found if it showed none.
  virtual Result<PublicKey> peer_key() const = 0;
  // 32 bytes that only the two ends of this very connection know. invalid below TLS 1.3.
  virtual Result<ByteArray<kExporterSize>> exporter() const = 0;
  // Bytes already taken from the transport and waiting: poll(2) on descriptor() would not show them.
  virtual bool pending() const = 0;
};

// Key and self-signed certificate of one side of an attested session.
struct TlsIdentity {
  PrivateKey key;
  Certificate certificate;
  static Result<TlsIdentity> generate(std::string_view common_name);  // P-256
  static Result<TlsIdentity> from_key(PrivateKey key, std::string_view common_name);
};

// Attested sessions. The server requires a client certificate (any key: its fingerprint is the client's
// name). The deadline set on `transport` bounds the handshake.
Result<std::unique_ptr<TlsStream>> attested_accept(std::unique_ptr<sys::Stream> transport,
                                                   const TlsIdentity& identity);
Result<std::unique_ptr<TlsStream>> attested_connect(std::unique_ptr<sys::Stream> transport,
                                                    const TlsIdentity& identity);

// Web TLS. host is checked against subjectAltName (DNS name or IP address) and sent as SNI unless it is an
// address.
Result<std::unique_ptr<TlsStream>> web_connect(std::unique_ptr<sys::Stream> transport,
                                               const std::string& host,
                                               const std::vector<Certificate>& trusted);
// The server side of web TLS, for the embedded KMS: chain from the leaf up.
Result<std::unique_ptr<TlsStream>> web_accept(std::unique_ptr<sys::Stream> transport, const PrivateKey& key,
                                              const std::vector<Certificate>& chain);

}  // namespace cloister::crypto
