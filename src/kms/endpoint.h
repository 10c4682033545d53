// Where the KMS of a key is.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "kms/arn.h"
#include "kms/credentials.h"

namespace cloister::kms {

// Which of a region's endpoints: what AWS's tools call use_fips_endpoint (FIPS 140 validated cryptography)
// and use_dualstack_endpoint (IPv6 as well as IPv4).
struct EndpointVariant {
  bool fips = false;
  bool dualstack = false;
  auto operator<=>(const EndpointVariant&) const = default;
};
inline constexpr std::array<EndpointVariant, 4> kEndpointVariants = {
    {{false, false}, {true, false}, {false, true}, {true, true}}};
// "standard", "fips", "dualstack", "fips-dualstack"
std::string_view to_string(EndpointVariant variant);

// AWS's own names in a partition, for endpoint_host(): kms.{region}.amazonaws.com, kms-fips.{region}.api.aws…
// ("AWS KMS endpoints and quotas" of the AWS General Reference). invalid: unknown partition.
Result<std::string> aws_endpoint_pattern(std::string_view partition, EndpointVariant variant);
// The same with the region put in; other services have names of the same form.
std::string aws_endpoint_host(std::string_view region, EndpointVariant variant,
                              std::string_view service = "kms");

// What the person wants: AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, else the profile's
// use_fips_endpoint and use_dualstack_endpoint. invalid: a value that is neither true nor false.
Result<EndpointVariant> find_endpoint_variant(const Environment& environment);

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
