#include "emulator/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <thread>

#include "crypto/tls.h"
#include "http/server.h"

namespace cloister::emulator {

namespace {

constexpr sys::milliseconds kAcceptTime = sys::seconds(1);
constexpr int kReapIntervalMs = 200;
constexpr std::string_view kTargetField = "X-Amz-Target";

bool is_loopback(const sys::Endpoint& endpoint) {
  using Kind = sys::Endpoint::Kind;
  if (endpoint.kind == Kind::unix_path) return true;
  return endpoint.kind == Kind::tcp &&
         (endpoint.host == "127.0.0.1" || endpoint.host == "::1" || endpoint.host == "localhost");
}

std::string peer_address(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  char text[INET6_ADDRSTRLEN] = {};
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  if (storage.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr, text, sizeof text);
  }
  return text;
}

// One connection and its thread. The descriptor stays open until the thread is joined, so that stop() never
// names another one.
class Connection {
 public:
  Connection(sys::Fd fd, const Api& api, const sys::Clock& clock,
             const std::optional<ServerIdentity>& identity, const Log& log)
      : handle_(std::move(fd)), api_(api), clock_(clock), identity_(identity), log_(log), thread_([this] {
          serve();
        }) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    stop();
    thread_.join();
  }

  bool done() const { return done_; }
  void stop() const { ::shutdown(handle_.get(), SHUT_RDWR); }

 private:
  void serve() {
    if (auto served = talk(); !served) log_.debug("connection: {}", served.error().message());
    stop();
    done_ = true;
  }

  Status talk() {
    Peer peer{peer_address(handle_.get()), identity_.has_value()};
    std::unique_ptr<sys::Stream> stream = std::make_unique<sys::FdStream>(TRY(handle_.duplicate()));
    stream->set_deadline(sys::Deadline::after(kHandshakeTime));
    if (identity_) stream = TRY(crypto::web_accept(std::move(stream), identity_->key, identity_->chain));
    http::ServerLimits limits;
    limits.idle = kConnectionIdle;
    return http::serve_connection(
        *stream, [&](const http::Request& request) { return answer(request, peer); }, limits);
  }

  http::Answer answer(const http::Request& request, const Peer& peer) const {
    auto response = api_.handle(request, peer, clock_.now());
    log_.info("{} {}: {}", peer.address, request.fields.get(kTargetField), response.status);
    return response;
  }

  sys::Fd handle_;
  const Api& api_;
  const sys::Clock& clock_;
  const std::optional<ServerIdentity>& identity_;
  const Log& log_;
  std::atomic<bool> done_ = false;
  std::thread thread_;  // last: it uses all the others
};

// Whether the listener has a connection; false: told to stop. Wakes now and then, for the caller to reap what
// has ended.
enum class Event { stop, connection, none };
Result<Event> wait_for_event(int listener, int stop_fd, bool full) {
  pollfd fds[] = {{stop_fd, POLLIN, 0}, {full ? -1 : listener, POLLIN, 0}};
  int ready = ::poll(fds, 2, kReapIntervalMs);
  if (ready < 0 && errno != EINTR) return fail_errno("poll");
  if (ready <= 0) return Event::none;
  if (fds[0].revents != 0) return Event::stop;
  return fds[1].revents != 0 ? Event::connection : Event::none;
}

}  // namespace

Result<Server> Server::listen(const sys::Endpoint& endpoint, std::optional<ServerIdentity> identity) {
  if (!identity && !is_loopback(endpoint)) {
    return fail(ErrorKind::denied, "plain HTTP is served on loopback only, not on {}", endpoint.to_string());
  }
  auto listener = TRY(sys::listen(endpoint));
  auto bound = endpoint;
  if (bound.kind == sys::Endpoint::Kind::tcp) bound.port = TRY(sys::bound_tcp_port(listener.get()));
  return Server(std::move(listener), std::move(bound), std::move(identity));
}

std::string Server::url() const {
  if (endpoint_.kind != sys::Endpoint::Kind::tcp) return endpoint_.to_string();
  bool bracket = endpoint_.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", identity_ ? "https" : "http", bracket ? "[" : "", endpoint_.host,
                     bracket ? "]" : "", endpoint_.port);
}

Status Server::run(const Api& api, const sys::Clock& clock, int stop_fd, const Log& log) {
  std::list<Connection> connections;
  for (;;) {
    connections.remove_if([](const Connection& connection) { return connection.done(); });
    auto event = TRY(wait_for_event(listener_.get(), stop_fd, connections.size() >= kMaxConnections));
    if (event == Event::stop) break;
    if (event == Event::none) continue;
    auto accepted = sys::accept(listener_.get(), sys::Deadline::after(kAcceptTime));
    if (!accepted) {
      log.debug("accept: {}", accepted.error().message());
      continue;
    }
    connections.emplace_back(*std::move(accepted), api, clock, identity_, log);
  }
  for (const auto& connection : connections) connection.stop();
  return {};
}

}  // namespace cloister::emulator
