#include "kms/endpoint.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "kms/partition.h"
#include "kms/profile.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035
constexpr std::string_view kPlaceholder = "{region}";

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Dot-separated labels of letters, digits and inner hyphens; covers IPv4 addresses.
bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxHostBytes) return false;
  for (;;) {
    auto label = text.substr(0, text.find('.'));
    bool sound = !label.empty() && label.front() != '-' && label.back() != '-' &&
                 std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; });
    if (!sound) return false;
    if (label.size() == text.size()) return true;
    text.remove_prefix(label.size() + 1);
  }
}

bool is_ipv6(std::string_view text) {
  return text.find(':') != text.npos && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
                  c == '.';
         });
}

std::string pattern_in(const Partition& partition, EndpointVariant variant, std::string_view service) {
  return fmt::format("{}{}.{}.{}", service, variant.fips ? "-fips" : "", kPlaceholder,
                     variant.dualstack ? partition.dualstack_suffix : partition.suffix);
}

Result<bool> to_flag(std::string_view value, std::string_view name) {
  std::string lower(value);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (lower == "true") return true;
  if (lower == "false") return false;
  return fail(ErrorKind::invalid, "{} is '{}', which is neither true nor false", name,
              escape_controls(value));
}

Result<bool> find_flag(const Environment& environment, std::string_view variable, std::string_view setting) {
  if (auto value = environment(variable); value && !value->empty()) return to_flag(*value, variable);
  std::string found;
  TRY(SharedFiles(environment).visit([&](auto key, auto value) {
    if (key == setting && found.empty()) found = value;
  }));
  return found.empty() ? Result<bool>(false) : to_flag(found, setting);
}

std::unexpected<Error> malformed(std::string_view url) {
  return fail(ErrorKind::invalid, "'{}' is not an endpoint: http[s]://HOST[:PORT] wanted",
              escape_controls(url));
}

}  // namespace

std::string_view to_string(EndpointVariant variant) {
  if (variant.fips) return variant.dualstack ? "fips-dualstack" : "fips";
  return variant.dualstack ? "dualstack" : "standard";
}

Result<std::string> aws_endpoint_pattern(std::string_view partition, EndpointVariant variant) {
  const auto* found = find_partition(partition);
  if (found == nullptr) return fail(ErrorKind::invalid, "unknown partition '{}'", escape_controls(partition));
  return pattern_in(*found, variant, "kms");
}

std::string aws_endpoint_host(std::string_view region, EndpointVariant variant, std::string_view service) {
  auto host = pattern_in(partition_of_region(region), variant, service);
  return host.replace(host.find(kPlaceholder), kPlaceholder.size(), region);
}

Result<EndpointVariant> find_endpoint_variant(const Environment& environment) {
  return EndpointVariant{
      .fips = TRY(find_flag(environment, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")),
      .dualstack = TRY(find_flag(environment, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))};
}

Result<std::string> endpoint_host(const KeyArn& key, std::string_view pattern) {
  if (!is_region(key.region)) return fail(ErrorKind::invalid, "KMS endpoint: malformed region");
  std::string host(pattern);
  if (auto at = host.find(kPlaceholder); at != host.npos) host.replace(at, kPlaceholder.size(), key.region);
  if (!is_host_name(host)) {
    return fail(ErrorKind::invalid, "KMS endpoint pattern '{}' does not make a host name",
                escape_controls(pattern));
  }
  return host;
}

Result<ServiceUrl> ServiceUrl::parse(std::string_view url) {
  ServiceUrl out;
  auto rest = url;
  out.tls = rest.starts_with("https://");
  if (!out.tls && !rest.starts_with("http://")) return malformed(url);
  rest.remove_prefix(out.tls ? 8 : 7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  out.port = out.tls ? 443 : 80;
  auto host_end = rest.starts_with('[') ? rest.find(']') : rest.find(':');
  if (rest.starts_with('[')) {
    if (host_end == rest.npos || !is_ipv6(rest.substr(1, host_end - 1))) return malformed(url);
    out.host = rest.substr(1, host_end - 1);
    rest.remove_prefix(host_end + 1);
  } else {
    out.host = rest.substr(0, host_end);
    rest.remove_prefix(out.host.size());
    if (!is_host_name(out.host)) return malformed(url);
  }
  if (rest.empty()) return out;
  if (!rest.starts_with(':')) return malformed(url);
  auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), out.port);
  bool whole = error == std::errc() && end == rest.data() + rest.size();
  if (!whole || out.port == 0 || out.port > 65535) return malformed(url);
  return out;
}

}  // namespace cloister::kms
