// Endpoint: where something listens, as a URI. `vsock://CID:PORT`, `unix:///path`, `tcp://host:port`, and
// `vsock+unix:///path?port=N`, the hybrid form of Firecracker and vhost-device-vsock: `CONNECT N\n` is sent
// over a unix socket and `OK …\n` comes back. The guest's own connections to the host arrive at
// `<path>_<port>`.
#pragma once

#include <cstdint>
#include <string>

#include "sys/clock.h"
#include "sys/fd.h"

namespace cloister::sys {

struct Endpoint {
  enum class Kind { vsock, unix_path, tcp, vsock_over_unix };

  Kind kind = Kind::unix_path;
  std::string host;        // tcp: name or address; without brackets for IPv6
  std::string path;        // unix_path, vsock_over_unix
  std::uint32_t cid = 0;   // vsock
  std::uint32_t port = 0;  // all but unix_path

  // invalid: not one of the forms above.
  static Result<Endpoint> parse(std::string_view uri);
  static Endpoint unix_socket(std::string path);
  std::string to_string() const;
};

// A connected, blocking, close-on-exec socket. unavailable: nobody listens, or the deadline passed.
Result<Fd> connect(const Endpoint& endpoint, Deadline deadline);

// A listening socket. A unix path is created with mode 0600; a stale socket file that nobody listens on is
// replaced, a live one is refused. vsock_over_unix cannot be listened on.
Result<Fd> listen(const Endpoint& endpoint, int backlog = 128);

// The next connection, close-on-exec. Waits without limit unless a deadline is given.
Result<Fd> accept(int listener, Deadline deadline = {});

// The port that a tcp:// endpoint with port 0 was given.
Result<std::uint16_t> bound_tcp_port(int listener);

}  // namespace cloister::sys
