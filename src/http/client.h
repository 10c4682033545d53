// An HTTP/1.1 client over one open stream. Not thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "http/message.h"
#include "sys/stream.h"

namespace cloister::http {

class Client {
 public:
  // host: for the Host field.
  Client(std::unique_ptr<sys::Stream> stream, std::string host);
  ~Client();

  // Sends and reads the whole answer, keeping the connection. exhausted: larger than the limits of message.h.
  Result<Response> exchange(const Request& request, sys::Deadline deadline,
                            std::size_t max_body = kMaxBodyBytes);

  // For endless answers: the header at once, then each line of the body (without its newline, at most
  // max_line bytes) as it comes, until the end or until the callback returns false. A non-2xx answer comes
  // back whole, with its body, and no line is given.
  Result<Response> stream_lines(const Request& request, std::size_t max_line,
                                const std::function<bool(std::string_view)>& on_line,
                                sys::Deadline header_deadline);

  sys::Stream& stream() { return *stream_; }

 private:
  struct Buffer;
  std::unique_ptr<sys::Stream> stream_;
  std::string host_;
  std::unique_ptr<Buffer> buffer_;
};

// Opens a tunnel through an HTTP proxy already connected: CONNECT host:port (RFC 9110 section 9.3.6). The
// stream then carries the tunnel's bytes.
Status connect_through(sys::Stream& proxy, std::string_view host, unsigned port, sys::Deadline deadline);

}  // namespace cloister::http
