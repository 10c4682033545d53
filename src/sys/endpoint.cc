#include "sys/endpoint.h"

#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "sys/stream.h"

namespace cloister::sys {

namespace {

constexpr std::size_t kMaxHybridReply = 32;  // bytes: "OK 4294967295\n" and some room

Result<std::uint32_t> parse_number(std::string_view text, std::uint32_t max, std::string_view what) {
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) {
    return fail(ErrorKind::invalid, "{} '{}' is not a number up to {}", what, text, max);
  }
  return value;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

Result<Endpoint> parse_vsock(std::string_view rest) {
  auto colon = rest.find(':');
  if (colon == std::string_view::npos) return fail(ErrorKind::invalid, "vsock://CID:PORT wanted");
  Endpoint out{.kind = Endpoint::Kind::vsock};
  out.cid = TRY(parse_number(rest.substr(0, colon), UINT32_MAX, "CID"));
  out.port = TRY(parse_number(rest.substr(colon + 1), UINT32_MAX, "port"));
  return out;
}

Result<Endpoint> parse_hybrid(std::string_view rest) {
  auto query = rest.find("?port=");
  if (query == std::string_view::npos) return fail(ErrorKind::invalid, "vsock+unix:///path?port=N wanted");
  Endpoint out{.kind = Endpoint::Kind::vsock_over_unix, .path = std::string(rest.substr(0, query))};
  out.port = TRY(parse_number(rest.substr(query + 6), UINT32_MAX, "port"));
  return out;
}

Result<Endpoint> parse_tcp(std::string_view rest) {
  auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return fail(ErrorKind::invalid, "tcp://host:port wanted");
  auto host = rest.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  Endpoint out{.kind = Endpoint::Kind::tcp, .host = std::string(host)};
  out.port = TRY(parse_number(rest.substr(colon + 1), 65535, "port"));
  return out;
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::invalid, "socket path '{}' is empty or longer than {} bytes", path,
                sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<Fd> make_socket(int family) {
  int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("socket");
  return Fd(fd);
}

// Connects within the deadline: non-blocking connect, poll, and back to blocking.
Result<Fd> connect_address(int family, const sockaddr* address, socklen_t size, Deadline deadline) {
  int raw = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (raw < 0) return fail_errno("socket");
  FdStream stream{Fd(raw)};
  while (::connect(raw, address, size) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN && family == AF_UNIX) {  // the listener's backlog is full
      if (deadline.passed()) return fail(ErrorKind::unavailable, "connect: timed out");
      ::poll(nullptr, 0, 10);
      continue;
    }
    if (errno != EINPROGRESS) return fail_errno("connect");
    TRY(wait_for(raw, POLLOUT, deadline, "connect"));
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(raw, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail_errno(error, "connect");
    break;
  }
  return stream.release();
}

Result<Fd> connect_unix(const std::string& path, Deadline deadline) {
  auto address = TRY(unix_address(path));
  auto fd = connect_address(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline);
  if (!fd && fd.error().kind() == ErrorKind::not_found)
    return fail(ErrorKind::unavailable, "no socket at {}", path);
  return fd;
}

Result<Fd> connect_vsock(std::uint32_t cid, std::uint32_t port, Deadline deadline) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return connect_address(AF_VSOCK, reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline);
}

Result<Fd> connect_hybrid(const Endpoint& endpoint, Deadline deadline) {
  FdStream stream(TRY(connect_unix(endpoint.path, deadline)));
  stream.set_deadline(deadline);
  TRY(stream.write_all(as_bytes(fmt::format("CONNECT {}\n", endpoint.port))));
  std::string reply;
  while (!reply.ends_with('\n')) {
    std::uint8_t byte = 0;
    // One byte at a time: what follows the line belongs to the caller.
    if (TRY(stream.read_some({&byte, 1})) == 0)
      return fail(ErrorKind::unavailable, "nobody listens on guest port {}", endpoint.port);
    reply.push_back(static_cast<char>(byte));
    if (reply.size() > kMaxHybridReply) return fail(ErrorKind::corrupt, "no OK line from the vsock device");
  }
  if (!reply.starts_with("OK "))
    return fail(ErrorKind::unavailable, "the vsock device refused port {}", endpoint.port);
  return stream.release();
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const Endpoint& endpoint, bool passive) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  int error = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (error != 0)
    return fail(ErrorKind::unavailable, "cannot resolve '{}': {}", endpoint.host, ::gai_strerror(error));
  return AddressList(found, &::freeaddrinfo);
}

Result<Fd> connect_tcp(const Endpoint& endpoint, Deadline deadline) {
  auto addresses = TRY(resolve(endpoint, false));
  Result<Fd> last = fail(ErrorKind::unavailable, "no address for '{}'", endpoint.host);
  for (auto* address = addresses.get(); address != nullptr; address = address->ai_next) {
    last = connect_address(address->ai_family, address->ai_addr, address->ai_addrlen, deadline);
    if (!last) continue;
    int on = 1;
    ::setsockopt(last->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return last;
  }
  return last;
}

Status bind_and_listen(int fd, const sockaddr* address, socklen_t size, int backlog) {
  if (::bind(fd, address, size) != 0) return fail_errno("bind");
  if (::listen(fd, backlog) != 0) return fail_errno("listen");
  return {};
}

Result<Fd> listen_unix(const std::string& path, int backlog) {
  auto address = TRY(unix_address(path));
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return fail(ErrorKind::invalid, "{} exists and is not a socket", path);
    if (connect_unix(path, Deadline::after(milliseconds(200)))) {
      return fail(ErrorKind::unavailable, "{} is in use by another process", path);
    }
    ::unlink(path.c_str());
  }
  auto fd = TRY(make_socket(AF_UNIX));
  // fchmod before bind sets the mode of the file that bind makes, so that it is never open to others.
  if (::fchmod(fd.get(), 0600) != 0) return fail_errno("fchmod");
  TRY(bind_and_listen(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address, backlog));
  return fd;
}

Result<Fd> listen_tcp(const Endpoint& endpoint, int backlog) {
  auto addresses = TRY(resolve(endpoint, true));
  auto fd = TRY(make_socket(addresses->ai_family));
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  TRY(bind_and_listen(fd.get(), addresses->ai_addr, addresses->ai_addrlen, backlog));
  return fd;
}

Result<Fd> listen_vsock(const Endpoint& endpoint, int backlog) {
  auto fd = TRY(make_socket(AF_VSOCK));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = endpoint.port;
  TRY(bind_and_listen(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address, backlog));
  return fd;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view uri) {
  auto rest = uri;
  if (take_prefix(rest, "vsock+unix://")) return parse_hybrid(rest);
  if (take_prefix(rest, "vsock://")) return parse_vsock(rest);
  if (take_prefix(rest, "tcp://")) return parse_tcp(rest);
  if (take_prefix(rest, "unix://") && !rest.empty()) return unix_socket(std::string(rest));
  return fail(ErrorKind::invalid, "'{}' is not an endpoint: vsock://CID:PORT, unix:///path, tcp://host:port",
              uri);
}

Endpoint Endpoint::unix_socket(std::string path) {
  return {.kind = Kind::unix_path, .path = std::move(path)};
}

std::string Endpoint::to_string() const {
  switch (kind) {
    case Kind::vsock:
      return fmt::format("vsock://{}:{}", cid, port);
    case Kind::unix_path:
      return fmt::format("unix://{}", path);
    case Kind::tcp:
      return host.find(':') == std::string::npos ? fmt::format("tcp://{}:{}", host, port)
                                                 : fmt::format("tcp://[{}]:{}", host, port);
    case Kind::vsock_over_unix:
      return fmt::format("vsock+unix://{}?port={}", path, port);
  }
  return {};
}

Result<Fd> connect(const Endpoint& endpoint, Deadline deadline) {
  auto connected = [&]() -> Result<Fd> {
    switch (endpoint.kind) {
      case Endpoint::Kind::vsock:
        return connect_vsock(endpoint.cid, endpoint.port, deadline);
      case Endpoint::Kind::unix_path:
        return connect_unix(endpoint.path, deadline);
      case Endpoint::Kind::tcp:
        return connect_tcp(endpoint, deadline);
      case Endpoint::Kind::vsock_over_unix:
        return connect_hybrid(endpoint, deadline);
    }
    return fail(ErrorKind::internal, "unknown endpoint kind");
  };
  return connected().context(endpoint.to_string());
}

Result<Fd> listen(const Endpoint& endpoint, int backlog) {
  auto listening = [&]() -> Result<Fd> {
    switch (endpoint.kind) {
      case Endpoint::Kind::vsock:
        return listen_vsock(endpoint, backlog);
      case Endpoint::Kind::unix_path:
        return listen_unix(endpoint.path, backlog);
      case Endpoint::Kind::tcp:
        return listen_tcp(endpoint, backlog);
      case Endpoint::Kind::vsock_over_unix:
        break;
    }
    return fail(ErrorKind::invalid, "cannot listen on a hybrid vsock endpoint");
  };
  return listening().context(endpoint.to_string());
}

Result<Fd> accept(int listener, Deadline deadline) {
  for (;;) {
    if (!deadline.never()) TRY(wait_for(listener, POLLIN, deadline, "accept"));
    int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) return Fd(fd);
    if (errno != EINTR && errno != ECONNABORTED) return fail_errno("accept");
  }
}

Result<std::uint16_t> bound_tcp_port(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno("getsockname");
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return fail(ErrorKind::invalid, "not a TCP socket");
}

}  // namespace cloister::sys
