#include <unistd.h>

#include <cstdio>

#include "cli/verbs.h"
#include "host/proxy_process.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string name = host::kDefaultEnclave;
  std::vector<std::string> services;
  std::vector<std::string> allowed;
  bool stop = false;
  bool foreground = false;
};

Result<std::vector<host::Route>> routes_of(const Context& context, const Options& options) {
  std::vector<host::Route> routes;
  for (const auto& service : options.services) {
    for (auto& route : TRY(host::service_routes(service, context.environment)))
      routes.push_back(std::move(route));
  }
  for (const auto& text : options.allowed) routes.push_back(TRY(host::Route::parse(text).context("--allow")));
  if (routes.empty()) return fail(ErrorKind::invalid, "nothing to allow: give -s kms, or --allow HOST:PORT");
  return routes;
}

Result<int> proxy(const Context& context, const Options& options) {
  auto enclave = TRY(host::read_record(context.paths, options.name));
  if (options.stop) {
    TRY(host::stop_proxy(context.paths, options.name));
    return 0;
  }
  auto routes = TRY(routes_of(context, options));
  if (options.foreground) {
    TRY(host::serve_proxy(enclave, routes, Log(STDERR_FILENO, "proxy")));
    return 0;
  }
  TRY(host::start_proxy(context.paths, enclave, routes));
  for (const auto& route : routes) {
    auto way = route.target ? fmt::format(" (at {})", route.target->to_string()) : "";
    fmt::print(stderr, "cloister: the enclave may reach {}:{}{}\n", route.host, route.port, way);
  }
  return 0;
}

}  // namespace

void add_proxy(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("proxy", "Let the enclave reach KMS, and nothing else, through this machine")
      .list("-s,--service", options->services, "a service by name: kms")
      .list("--allow", options->allowed,
            "a further destination, HOST:PORT; *.example.com:443 for all names below")
      .flag("--stop", options->stop, "end the proxy of this enclave")
      .flag("--foreground", options->foreground, "do not detach; log to the terminal")
      .text("--name", options->name, "the enclave's name")
      .example("cloister proxy -s kms")
      .action([&context, options] { return proxy(context, *options); });
}

}  // namespace cloister::cli
