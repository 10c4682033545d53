#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "cli/verbs.h"
#include "host/proxy_process.h"
#include "host/service_manager.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string name = host::kDefaultEnclave;
  std::vector<std::string> services;
  std::vector<std::string> allowed;
  std::vector<std::string> lists;
  std::uint64_t idle = sys::seconds(host::kProxyIdle.count() / 1000).count();
  bool stop = false;
  bool foreground = false;
};

constexpr std::uint64_t kMaxIdle = 24 * 60 * 60;  // seconds

Result<std::vector<host::Route>> routes_of(const Context& context, const Options& options) {
  std::vector<host::Route> routes;
  for (const auto& service : options.services)
    std::ranges::move(TRY(host::service_routes(service, context.environment)), std::back_inserter(routes));
  for (const auto& path : options.lists)
    std::ranges::move(TRY(host::read_allow_list(path).context("--allow-list")), std::back_inserter(routes));
  for (const auto& text : options.allowed) routes.push_back(TRY(host::Route::parse(text).context("--allow")));
  if (!routes.empty()) return routes;
  Error error(ErrorKind::invalid, "nothing to allow");
  return std::unexpected(std::move(error).with_hint(
      "give -s kms, --allow HOST:PORT or --allow-list /etc/nitro_enclaves/vsock-proxy.yaml"));
}

Result<host::ProxyOptions> proxy_options(const Context& context, const Options& options) {
  if (options.idle == 0 || options.idle > kMaxIdle)
    return fail(ErrorKind::invalid, "--idle is 1 to {} seconds", kMaxIdle);
  return host::ProxyOptions{.routes = TRY(routes_of(context, options)),
                            .idle = sys::seconds(static_cast<long>(options.idle))};
}

Result<int> proxy(const Context& context, const Options& options) {
  auto enclave = TRY(host::read_record(context.paths, options.name));
  if (options.stop) {
    TRY(host::stop_proxy(context.paths, options.name));
    return 0;
  }
  auto wanted = TRY(proxy_options(context, options));
  auto greet = [&] {
    for (const auto& route : wanted.routes) {
      auto way = route.target ? fmt::format(" (at {})", route.target->to_string()) : "";
      fmt::print(stderr, "cloister: the enclave may reach {}:{}{}\n", route.host, route.port, way);
    }
  };
  if (options.foreground) {
    TRY(host::run_proxy_in_foreground(context.paths, enclave, wanted, [&] {
      greet();
      host::tell_service_manager(
          fmt::format("READY=1\nSTATUS=enclave '{}' may reach {} names", enclave.name, wanted.routes.size()));
    }));
    return 0;
  }
  TRY(host::start_proxy(context.paths, enclave, wanted));
  greet();
  return 0;
}

}  // namespace

void add_proxy(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("proxy", "Let the enclave reach KMS, and nothing else, through this machine")
      .list("-s,--service", options->services,
            "a service of AWS in your region, by all its names: kms (what an enclave needs), sts, "
            "secretsmanager")
      .list("--allow", options->allowed,
            "a further destination, HOST:PORT; *.example.com:443 for all names below")
      .list("--allow-list", options->lists, "destinations from a file of AWS's vsock-proxy (YAML)")
      .number("--idle", options->idle,
              "seconds after which a connection on which nothing moves is ended (default 300)")
      .flag("--stop", options->stop, "end the proxy of this enclave")
      .flag("--foreground", options->foreground, "do not detach; log to the terminal")
      .text("--name", options->name, "the enclave's name")
      .example("cloister proxy -s kms")
      .action([&context, options] { return proxy(context, *options); });
}

}  // namespace cloister::cli
