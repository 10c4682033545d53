#include "kms/dial.h"

#include <algorithm>

#include "base/log.h"
#include "base/secret.h"
#include "crypto/tls.h"
#include "http/client.h"
#include "sys/endpoint.h"
#include "sys/file.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxBundle = 4 * 1024 * 1024;  // bytes
constexpr std::size_t kMaxTarget = 2048;             // bytes
constexpr const char* kSystemBundle = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::string_view kSecretFields[] = {"Authorization", "X-Amz-Security-Token",
                                              "X-aws-ec2-metadata-token"};

Result<std::vector<crypto::Certificate>> authorities(const Environment& environment) {
  auto named = environment("AWS_CA_BUNDLE").value_or("");
  auto bundle = TRY(sys::read_file(named.empty() ? kSystemBundle : named, kMaxBundle));
  return crypto::Certificate::list_from_pem(bundle);
}

}  // namespace

Dial system_dial(Environment environment) {
  return [environment = std::move(environment)](
             const ServiceUrl& service, sys::Deadline deadline) -> Result<std::unique_ptr<sys::Stream>> {
    sys::Endpoint endpoint{.kind = sys::Endpoint::Kind::tcp, .host = service.host};
    endpoint.port = service.port;
    auto stream = std::make_unique<sys::FdStream>(TRY(sys::connect(endpoint, deadline)));
    stream->set_deadline(deadline);
    if (!service.tls) return std::unique_ptr<sys::Stream>(std::move(stream));
    auto trusted = TRY(authorities(environment).context("certificate authorities"));
    return std::unique_ptr<sys::Stream>(TRY(crypto::web_connect(std::move(stream), service.host, trusted)));
  };
}

Result<Url> Url::parse(std::string_view text) {
  auto scheme = text.find("://");
  auto slash = scheme == text.npos ? text.npos : text.find('/', scheme + 3);
  Url out{.service = TRY(ServiceUrl::parse(text.substr(0, slash)))};
  if (slash == text.npos) return out;
  auto target = text.substr(slash);
  bool sound =
      target.size() <= kMaxTarget && std::ranges::all_of(target, [](char c) { return c > ' ' && c < 0x7f; });
  if (!sound || target.find('#') != target.npos)
    return fail(ErrorKind::invalid, "'{}' is not a URL", escape_controls(text.substr(0, kMaxTarget)));
  out.target = target;
  return out;
}

std::string host_field(const ServiceUrl& service) {
  auto host = service.host.find(':') == std::string::npos ? service.host : fmt::format("[{}]", service.host);
  return service.port == (service.tls ? 443U : 80U) ? host : fmt::format("{}:{}", host, service.port);
}

Result<http::Response> ask(std::unique_ptr<sys::Stream> stream, const ServiceUrl& service,
                           http::Request request, sys::Deadline deadline) {
  request.fields.set("Host", host_field(service));
  http::Client connection(std::move(stream), service.host);
  auto response = connection.exchange(request, deadline, kMaxSourceAnswer);
  wipe(request.body);
  for (auto name : kSecretFields) request.fields.wipe(name);
  return response;
}

}  // namespace cloister::kms
