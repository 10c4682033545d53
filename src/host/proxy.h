// The parent's proxy: the enclave's only way out. It takes HTTP CONNECT from the enclave, checks the
// destination against an allow-list, and carries bytes; TLS ends in the enclave. The list is a convenience of
// the host's owner, not a wall: the enclave checks destinations itself.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "host/paths.h"
#include "sys/endpoint.h"

namespace cloister::host {

inline constexpr std::size_t kMaxProxyConnections = 256;
inline constexpr sys::milliseconds kProxyRequestTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kProxyConnectTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kProxyIdle = std::chrono::minutes(5);

// One allowed destination. A name that begins with "*." allows every name below it.
struct Route {
  std::string host;
  unsigned port = 0;
  std::optional<sys::Endpoint> target;  // where it really goes; absent: to the host itself

  static Result<Route> parse(std::string_view text);  // HOST:PORT
  bool matches(std::string_view to_host, unsigned to_port) const;
};

// The destinations of a named service. "kms": the KMS of AWS_REGION by all its
// names (kms::EndpointVariant), or, with AWS_ENDPOINT_URL_KMS set, the
// embedded one there. invalid: unknown service, or no region.
Result<std::vector<Route>> service_routes(std::string_view service, const Environment& environment);

// Accepts for ever; each connection has a thread.
Status run_proxy(sys::Fd listener, const std::vector<Route>& routes, const Log& log);

// "host:port" of a CONNECT request's target. invalid: anything else.
struct Destination {
  std::string host;
  unsigned port = 0;
};
Result<Destination> parse_destination(std::string_view text);

}  // namespace cloister::host
