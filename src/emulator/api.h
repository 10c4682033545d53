// Api: the AWS KMS JSON 1.1 protocol as one function from request to response. Every request is authenticated
// (SigV4), authorized by the key's policy and the caller's, and only then carried out. Thread-safe: all state
// is the store's.
#pragma once

#include <string>

#include "emulator/store.h"
#include "emulator/trusted_roots.h"
#include "http/message.h"

namespace cloister::emulator {

inline constexpr sys::UnixMillis kMaxClockSkew = 5 * 60 * 1000;       // of a signature's date
inline constexpr sys::UnixMillis kMaxAttestationAge = 5 * 60 * 1000;  // by the document's own timestamp
inline constexpr std::string_view kJsonContentType = "application/x-amz-json-1.1";

// The other end of a connection, for the condition keys aws:SourceIp and aws:SecureTransport.
struct Peer {
  std::string address;  // empty: not an IP connection
  bool secure = true;
};

class Api {
 public:
  // roots: whose documents a Recipient may carry. Both outlive the Api.
  Api(Store& store, const TrustedRoots& roots) : store_(store), roots_(roots) {}

  http::Response handle(const http::Request& request, const Peer& peer, sys::UnixMillis now) const;

 private:
  Store& store_;
  const TrustedRoots& roots_;
};

}  // namespace cloister::emulator
