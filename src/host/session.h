// An attested session with an enclave: TLS, then the document, then everything else. No endpoint is exempt.
#pragma once

#include <memory>
#include <string>

#include "attestation/measurements.h"
#include "crypto/tls.h"
#include "http/client.h"
#include "sys/endpoint.h"

namespace cloister::host {

inline constexpr sys::milliseconds kConnectTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kRequestTimeout = sys::seconds(60);
inline constexpr sys::milliseconds kMaxDocumentAge = std::chrono::minutes(5);

// What a client demands of an enclave before it says anything.
struct Expectation {
  attestation::Measurements measurements;
  crypto::Certificate root;  // who vouches for the documents
};

// The client's key, made on first use, 0600: its fingerprint owns the client's share and jobs.
Result<crypto::TlsIdentity> load_or_create_client_key(const std::string& path);

class Session {
 public:
  // denied: the document does not verify, is not of this connection, or the measurements differ. unavailable:
  // nobody answers.
  static Result<Session> open(const sys::Endpoint& control, const crypto::TlsIdentity& identity,
                              const Expectation& expected, const sys::Clock& clock);

  // Any non-2xx answer is the error it stands for.
  Result<http::Response> request(const http::Request& request);
  http::Client& http() { return *http_; }
  const attestation::Document& document() const { return document_; }

 private:
  Session(std::unique_ptr<http::Client> http, attestation::Document document)
      : http_(std::move(http)), document_(std::move(document)) {}
  std::unique_ptr<http::Client> http_;
  attestation::Document document_;
};

// The checks of docs/formats/control.md on a document that has come over a connection. denied: any doubt.
Status check_session_document(const attestation::Document& document, ByteView nonce, ByteView server_spki,
                              ByteView exporter, const Expectation& expected, sys::UnixMillis now);

}  // namespace cloister::host
