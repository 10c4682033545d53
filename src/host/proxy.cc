#include "host/proxy.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <thread>

#include "http/server.h"
#include "kms/endpoint.h"

namespace cloister::host {

namespace {

constexpr unsigned kHttpsPort = 443;
constexpr std::size_t kMaxHostName = 253;  // bytes (RFC 1035)

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '*';
}

Result<sys::Endpoint> endpoint_of_url(std::string_view url) {
  auto service = TRY(kms::ServiceUrl::parse(url).context("AWS_ENDPOINT_URL_KMS"));
  sys::Endpoint out{.kind = sys::Endpoint::Kind::tcp, .host = service.host};
  out.port = service.port;
  return out;
}

class Connection {
 public:
  Connection(const std::vector<Route>& routes, const Log& log) : routes_(routes), log_(log) {}

  Status serve(sys::Fd fd) {
    sys::FdStream stream(std::move(fd));
    stream.set_deadline(sys::Deadline::after(kProxyRequestTimeout));
    auto head = http::read_request_head(stream);
    if (!head && head.error().kind() == ErrorKind::unavailable)
      return {};  // came and went: a probe, or a port scan
    auto request = TRY(std::move(head));
    auto upstream = open_upstream(request);
    if (!upstream) {
      auto status = upstream.error().kind() == ErrorKind::unavailable ? "502 Bad Gateway" : "403 Forbidden";
      TRY(stream.write_all(as_bytes(fmt::format("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status))));
      return std::unexpected(upstream.error());
    }
    TRY(stream.write_all(as_bytes("HTTP/1.1 200 Connection established\r\n\r\n")));
    auto moved = TRY(sys::relay(stream.release(), *std::move(upstream), kProxyIdle));
    log_.info("{}: {} bytes out, {} bytes back", request.target, moved.forward, moved.back);
    return {};
  }

 private:
  Result<sys::Fd> open_upstream(const http::Request& request) {
    if (request.method != "CONNECT") return fail(ErrorKind::denied, "{} is not CONNECT", request.method);
    auto to = TRY(parse_destination(request.target));
    auto route = std::find_if(routes_.begin(), routes_.end(),
                              [&](const Route& r) { return r.matches(to.host, to.port); });
    if (route == routes_.end()) return fail(ErrorKind::denied, "{} is not on the allow-list", request.target);
    sys::Endpoint target{.kind = sys::Endpoint::Kind::tcp, .host = to.host};
    target.port = to.port;
    return sys::connect(route->target.value_or(target), sys::Deadline::after(kProxyConnectTimeout));
  }

  const std::vector<Route>& routes_;
  const Log& log_;
};

}  // namespace

Result<Destination> parse_destination(std::string_view text) {
  auto colon = text.rfind(':');
  auto host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.empty() || host.size() > kMaxHostName ||
      !std::all_of(host.begin(), host.end(), is_host_character)) {
    return fail(ErrorKind::invalid, "'{}' is not HOST:PORT", text);
  }
  auto digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0) {
    return fail(ErrorKind::invalid, "'{}' is not HOST:PORT", text);
  }
  Destination out{.host = std::string(host), .port = port};
  std::transform(out.host.begin(), out.host.end(), out.host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

Result<Route> Route::parse(std::string_view text) {
  auto destination = TRY(parse_destination(text));
  auto stars = std::count(destination.host.begin(), destination.host.end(), '*');
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
  if (service != "kms") return fail(ErrorKind::invalid, "unknown service '{}' (kms is known)", service);
  auto region = TRY(kms::find_region(environment));
  std::vector<Route> routes;
  for (auto variant : kms::kEndpointVariants) {
    routes.push_back(
        {.host = kms::aws_endpoint_host(region, variant), .port = kHttpsPort, .target = std::nullopt});
  }
  if (auto url = environment("AWS_ENDPOINT_URL_KMS"); url && !url->empty()) {
    routes = {{.host = fmt::format("kms.{}.cloister.test", region),
               .port = kHttpsPort,
               .target = TRY(endpoint_of_url(*url))}};
  }
  return routes;
}

Status run_proxy(sys::Fd listener, const std::vector<Route>& routes, const Log& log) {
  static std::atomic<std::size_t> active = 0;  // threads outlive this call only in a process that is ending
  for (;;) {
    auto connection = TRY(sys::accept(listener.get()));
    if (active.load() >= kMaxProxyConnections) {
      log.warning("refused: {} connections are open", kMaxProxyConnections);
      continue;
    }
    ++active;
    std::thread([fd = std::move(connection), &routes, &log]() mutable {
      if (auto served = Connection(routes, log).serve(std::move(fd)); !served)
        log.warning("{}", served.error().message());
      --active;
    }).detach();
  }
}

}  // namespace cloister::host
