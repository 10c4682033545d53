// Where the enclave may connect to through this machine: rules from the command line, from a service's name,
// and from the file of AWS's vsock-proxy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/paths.h"
#include "sys/endpoint.h"

namespace cloister::host {

inline constexpr std::size_t kMaxAllowListFile = 1024 * 1024;  // bytes
inline constexpr std::size_t kMaxRoutes = 4096;

// "host:port" of a CONNECT request's target, in lower case. invalid: anything else.
struct Destination {
  std::string host;
  unsigned port = 0;
};
Result<Destination> parse_destination(std::string_view text);

// One allowed destination. A name that begins with "*." allows every name below it.
struct Route {
  std::string host;
  unsigned port = 0;
  std::optional<sys::Endpoint> target;  // where it really goes; absent: to the host itself

  static Result<Route> parse(std::string_view text);  // HOST:PORT
  bool matches(std::string_view to_host, unsigned to_port) const;
};

// The destinations of a named service of AWS, in AWS_REGION, by all its names (kms::EndpointVariant); or,
// with AWS_ENDPOINT_URL_KMS (_STS, …) set, the one there. invalid: unknown service, or no region.
Result<std::vector<Route>> service_routes(std::string_view service, const Environment& environment);

// vsock-proxy's file (its README, "Configuration file format"): a YAML mapping whose `allowlist` is a list of
// {address: HOST, port: PORT}. invalid: anything else, with the place.
Result<std::vector<Route>> read_allow_list(const std::string& path);

}  // namespace cloister::host
