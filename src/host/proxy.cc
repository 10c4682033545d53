#include "host/proxy.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "http/server.h"

namespace cloister::host {

namespace {

constexpr std::size_t kMaxThreads =
    kMaxProxyConnections + 2 * kMaxProxyWaiting;  // those that are ending, too
constexpr int kBreath = 50;                       // milliseconds, when descriptors or threads have run out

std::string_view status_line(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::denied:
    case ErrorKind::invalid:
      return "403 Forbidden";
    case ErrorKind::exhausted:
      return "503 Service Unavailable";
    default:
      return "502 Bad Gateway";
  }
}

bool is_refusal(ErrorKind kind) {
  return kind == ErrorKind::denied || kind == ErrorKind::invalid || kind == ErrorKind::exhausted;
}

// One that counts as long as it lives, unless the limit is reached already.
class Counted {
 public:
  Counted(std::atomic<std::uint64_t>& count, std::uint64_t limit) : count_(count) {
    admitted_ = count_.fetch_add(1) < limit;
  }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  bool admitted() const { return admitted_; }

 private:
  std::atomic<std::uint64_t>& count_;
  bool admitted_;
};

}  // namespace

WaitingRoom::Place WaitingRoom::enter(int fd) {
  std::lock_guard lock(mutex_);
  if (open_ >= limit_) {
    auto oldest = std::ranges::find_if(waiting_, [](int one) { return one >= 0; });
    ::shutdown(*oldest, SHUT_RDWR);  // its thread sees the end and goes
    *oldest = -1;
    --open_;
  }
  ++open_;
  return waiting_.insert(waiting_.end(), fd);
}

bool WaitingRoom::leave(Place place) {
  std::lock_guard lock(mutex_);
  bool open = *place >= 0;
  if (open) --open_;
  waiting_.erase(place);
  return open;
}

Status Proxy::run(const sys::Fd& listener, const std::function<bool()>& keep_on) {
  while (keep_on()) {
    auto connection = sys::accept(listener.get(), sys::Deadline::after(kProxyLookAround));
    if (connection && threads_.load() < kMaxThreads) {
      start(*std::move(connection));
      continue;
    }
    auto kind = connection ? ErrorKind::exhausted : connection.error().kind();
    if (kind == ErrorKind::exhausted) ::poll(nullptr, 0, kBreath);
    if (kind != ErrorKind::exhausted && kind != ErrorKind::unavailable)
      return std::unexpected(std::move(connection).error());
  }
  return {};
}

void Proxy::start(sys::Fd connection) {
  ++counters_.accepted;
  ++threads_;
  try {
    std::thread([this, fd = std::move(connection)]() mutable {
      serve(std::move(fd));
      --threads_;
    }).detach();
  } catch (const std::system_error&) {
    --threads_;
    ::poll(nullptr, 0, kBreath);
  }
}

void Proxy::serve(sys::Fd connection) {
  try {
    auto place = waiting_.enter(connection.get());
    if (auto served = carry(sys::FdStream(std::move(connection)), place); !served)
      log_.warning("{}", escape_controls(served.error().message()));
  } catch (const std::exception& error) {
    log_.warning("a connection was dropped: {}", error.what());
  }
}

void Proxy::count_refusal(const Error& error) {
  ++(is_refusal(error.kind()) ? counters_.refused : counters_.failed);
}

Status Proxy::carry(sys::FdStream stream, WaitingRoom::Place place) {
  stream.set_deadline(sys::Deadline::after(kProxyRequestTimeout));
  auto request = http::read_request_head(stream);
  bool stayed = waiting_.leave(place);
  if (!stayed || (!request && request.error().kind() == ErrorKind::unavailable)) {
    if (!stayed) ++counters_.refused;
    return {};  // came and went: a probe, a port scan, or somebody who never said what they want
  }
  Counted active(counters_.active, kMaxProxyConnections);
  auto upstream = [&]() -> Result<sys::Fd> {
    if (!active.admitted())
      return fail(ErrorKind::exhausted, "{} connections are open", kMaxProxyConnections);
    if (!request) return std::unexpected(request.error());
    return open_upstream(request->method, request->target);
  }();
  if (!upstream) {
    count_refusal(upstream.error());
    TRY(stream.write_all(as_bytes(
        fmt::format("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status_line(upstream.error().kind())))));
    return std::unexpected(std::move(upstream).error().context("refused"));
  }
  TRY(stream.write_all(as_bytes("HTTP/1.1 200 Connection established\r\n\r\n")));
  sys::Relayed moved;
  auto done = sys::relay(stream.release(), *std::move(upstream), idle_, moved);
  counters_.bytes_out += moved.forward;
  counters_.bytes_back += moved.back;
  log_.info("{}: {} bytes out, {} bytes back", request->target, moved.forward, moved.back);
  if (!done) return std::unexpected(std::move(done).error().context(request->target));
  return {};
}

Result<sys::Fd> Proxy::open_upstream(std::string_view method, std::string_view target) const {
  if (method != "CONNECT") return fail(ErrorKind::denied, "{} is not CONNECT", method);
  auto to = TRY(parse_destination(target));
  auto route = std::ranges::find_if(routes_, [&](const Route& one) { return one.matches(to.host, to.port); });
  if (route == routes_.end()) return fail(ErrorKind::denied, "{} is not on the allow-list", target);
  sys::Endpoint direct{.kind = sys::Endpoint::Kind::tcp, .host = to.host};
  direct.port = to.port;
  return sys::connect(route->target.value_or(direct), sys::Deadline::after(kProxyConnectTimeout));
}

}  // namespace cloister::host
