// Where the KMS of a key is.
#pragma once

#include <string>
#include <string_view>

#include "kms/arn.h"

namespace cloister::kms {

inline constexpr std::string_view kDefaultEndpointPattern = "kms.{region}.amazonaws.com";

// The pattern with {region} (at most once, and no other placeholder) replaced by the key's region. In the
// enclave the pattern comes from the trust file and the ARN from a signed header. invalid: malformed pattern
// or region.
Result<std::string> endpoint_host(const KeyArn& key, std::string_view pattern);

// An endpoint as a person writes it on the host (AWS_ENDPOINT_URL_KMS): http[s]://HOST[:PORT][/].
struct ServiceUrl {
  bool tls = true;
  std::string host;  // without brackets for IPv6
  unsigned port = 443;
  static Result<ServiceUrl> parse(std::string_view url);
};

}  // namespace cloister::kms
