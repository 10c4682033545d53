// An HTTP/1.1 server over one accepted stream: reads a request, asks a handler, writes the answer, until the
// peer closes. The caller owns threads and connection caps. Deadlines: header and body must come within
// ServerLimits::request, a kept connection may idle for ServerLimits::idle.
#pragma once

#include <functional>
#include <memory>

#include "http/message.h"
#include "sys/stream.h"

namespace cloister::http {

struct ServerLimits {
  sys::milliseconds request = sys::seconds(20);
  sys::milliseconds idle = sys::seconds(120);
  sys::milliseconds write = sys::seconds(30);
  std::size_t max_body = kMaxBodyBytes;
};

// A chunked answer in progress.
class Streamer {
 public:
  virtual ~Streamer() = default;
  virtual Status write(std::string_view part) = 0;  // one chunk, flushed
};

// Either a whole response, or (stream != nullptr) a header followed by what `stream` writes.
struct Answer {
  Response response;
  std::function<Status(Streamer&)> stream;
  Answer(Response whole) : response(std::move(whole)) {}  // NOLINT: a response is an answer
  Answer(Response head, std::function<Status(Streamer&)> body)
      : response(std::move(head)), stream(std::move(body)) {}
};

using Handler = std::function<Answer(const Request&)>;

// Returns when the peer closes in order; an error when it broke a limit or the protocol (it was told 4xx
// where possible).
Status serve_connection(sys::Stream& stream, const Handler& handler, const ServerLimits& limits = {});

// Reads exactly one request head (used by the proxy for CONNECT): never reads past the blank line.
Result<Request> read_request_head(sys::Stream& stream);

}  // namespace cloister::http
