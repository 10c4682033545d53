// CONNECT, from both sides: asking a proxy, and reading what a proxy is asked.
#include <algorithm>

#include "http/client.h"
#include "http/input.h"
#include "http/server.h"

namespace cloister::http {

namespace {

constexpr std::size_t kMaxHostBytes = 253;       // RFC 1035
constexpr std::uint64_t kMaxRefusalBody = 4096;  // bytes of a proxy's refusal that are read

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostBytes && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':';
  });
}

ErrorKind kind_of_refusal(const Error& told, int status) {
  // A proxy that cannot reach the target says so with a status that is not about itself.
  if (status == 502 || status == 504) return ErrorKind::unavailable;
  return told.kind();
}

// The body of a refusal may hold the proxy's own words; without it the status has to do.
Error refusal_error(sys::Stream& proxy, ResponseHead head) {
  Input input(proxy);
  if (auto body = Body(input, head.framing, kMaxRefusalBody).whole()) head.response.body = *std::move(body);
  auto told = error_from(head.response);
  Error out(kind_of_refusal(told, head.response.status), told.message());
  return told.hint().empty() ? out : std::move(out).with_hint(told.hint());
}

}  // namespace

Status connect_through(sys::Stream& proxy, std::string_view host, unsigned port, sys::Deadline deadline) {
  if (!is_host(host) || port == 0 || port > 65535)
    return fail(ErrorKind::invalid, "not a host and port to connect to");
  bool bare_ipv6 = host.find(':') != host.npos;
  Request request;
  request.method = "CONNECT";
  request.target = fmt::format(fmt::runtime(bare_ipv6 ? "[{}]:{}" : "{}:{}"), host, port);
  proxy.set_deadline(deadline);
  auto what = fmt::format("proxy, connecting to {}", request.target);
  auto wire = TRY(format_request_head(request, request.target));
  TRY(proxy.write_all(as_bytes(wire)).context(what));
  auto raw = read_head_exactly(proxy);
  if (!raw) return std::unexpected(std::move(raw).error().error.context(what));
  auto head = parse_response_head(*raw, request.method);
  if (!head) {
    return fail(ErrorKind::corrupt, "{}: malformed answer: {}", what, head.error().error.message());
  }
  if (head->response.status / 100 == 2) return {};
  return std::unexpected(refusal_error(proxy, *std::move(head)).context(what));
}

Result<Request> read_request_head(sys::Stream& stream) {
  auto text = TRY(read_head_exactly(stream));
  auto head = TRY(parse_request_head(text));
  return std::move(head.request);
}

}  // namespace cloister::http
