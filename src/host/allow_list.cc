#include "host/allow_list.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/log.h"
#include "kms/endpoint.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr unsigned kHttpsPort = 443;
constexpr std::size_t kMaxHostName = 253;  // bytes (RFC 1035)
// Services whose endpoints are named alike. KMS is what an enclave of today asks; the others are for what may
// stand beside it behind one proxy.
constexpr std::array<std::string_view, 3> kServices = {"kms", "sts", "secretsmanager"};

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '*';
}

Result<sys::Endpoint> endpoint_of_url(std::string_view url, const std::string& variable) {
  auto service = TRY(kms::ServiceUrl::parse(url).context(variable));
  sys::Endpoint out{.kind = sys::Endpoint::Kind::tcp, .host = service.host};
  out.port = service.port;
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return out;
}

Result<Route> route_of(const YAML::Node& entry) {
  if (!entry.IsMap() || !entry["address"] || !entry["port"] || entry.size() != 2)
    return fail(ErrorKind::invalid, "not {{address: HOST, port: PORT}}");
  if (!entry["address"].IsScalar() || !entry["port"].IsScalar())
    return fail(ErrorKind::invalid, "address and port are single values");
  return Route::parse(fmt::format("{}:{}", entry["address"].Scalar(), entry["port"].Scalar()));
}

Result<std::vector<Route>> routes_of(const std::string& text) {
  auto root = YAML::Load(text);
  auto list = root.IsMap() ? root["allowlist"] : YAML::Node();
  if (!list.IsSequence() || list.size() == 0)
    return fail(ErrorKind::invalid, "there is no list 'allowlist' in it");
  if (list.size() > kMaxRoutes) return fail(ErrorKind::exhausted, "more than {} entries", kMaxRoutes);
  std::vector<Route> routes;
  for (const auto& entry : list)
    routes.push_back(TRY(route_of(entry).context(fmt::format("line {}", entry.Mark().line + 1))));
  return routes;
}

}  // namespace

Result<Destination> parse_destination(std::string_view text) {
  auto colon = text.rfind(':');
  auto host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.empty() || host.size() > kMaxHostName || !std::ranges::all_of(host, is_host_character))
    return fail(ErrorKind::invalid, "'{}' is not HOST:PORT", escape_controls(text.substr(0, kMaxHostName)));
  auto digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0)
    return fail(ErrorKind::invalid, "'{}' is not HOST:PORT", escape_controls(text.substr(0, kMaxHostName)));
  Destination out{.host = std::string(host), .port = port};
  std::ranges::transform(out.host, out.host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

Result<Route> Route::parse(std::string_view text) {
  auto destination = TRY(parse_destination(text));
  auto stars = std::ranges::count(destination.host, '*');
  if (stars > 1 || (stars == 1 && !destination.host.starts_with("*."))) {
    return fail(ErrorKind::invalid,
                "'{}': a wildcard stands for the first label only, as in *.example.com:443", text);
  }
  return Route{.host = destination.host, .port = destination.port, .target = std::nullopt};
}

bool Route::matches(std::string_view to_host, unsigned to_port) const {
  if (to_port != port) return false;
  if (!host.starts_with("*.")) return to_host == host;
  auto suffix = std::string_view(host).substr(1);
  return to_host.size() > suffix.size() && to_host.ends_with(suffix);
}

Result<std::vector<Route>> service_routes(std::string_view service, const Environment& environment) {
  if (std::ranges::find(kServices, service) == kServices.end()) {
    Error error(ErrorKind::invalid, fmt::format("unknown service '{}'", service));
    return std::unexpected(std::move(error).with_hint(fmt::format(
        "{} are known; name other destinations with --allow HOST:PORT", fmt::join(kServices, ", "))));
  }
  auto region = TRY(kms::find_region(environment));
  auto variable = "AWS_ENDPOINT_URL_" + upper(service);
  if (auto url = environment(variable); url && !url->empty()) {
    return std::vector<Route>{{.host = fmt::format("{}.{}.cloister.test", service, region),
                               .port = kHttpsPort,
                               .target = TRY(endpoint_of_url(*url, variable))}};
  }
  std::vector<Route> routes;
  routes.reserve(kms::kEndpointVariants.size());
  for (auto variant : kms::kEndpointVariants) {
    routes.push_back({.host = kms::aws_endpoint_host(region, variant, service),
                      .port = kHttpsPort,
                      .target = std::nullopt});
  }
  return routes;
}

Result<std::vector<Route>> read_allow_list(const std::string& path) {
  auto text = TRY(sys::read_file(path, kMaxAllowListFile));
  try {
    return routes_of(std::string(as_text(text))).context(path);
  } catch (const YAML::Exception& error) {
    return fail(ErrorKind::invalid, "{}: line {}: {}", path, error.mark.line + 1, error.msg);
  }
}

}  // namespace cloister::host
