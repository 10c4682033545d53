#include "enclave/listener.h"

#include <poll.h>
#include <unistd.h>

#include <exception>
#include <optional>
#include <system_error>
#include <thread>

#include "enclave/routes.h"
#include "enclave/slots.h"
#include "share/lane.h"
#include "sys/endpoint.h"

namespace cloister::enclave {

namespace {

constexpr int kExhaustedPause = 50;  // milliseconds
constexpr ClientId kStranger{};      // whoever has not shown a key yet

constexpr http::ServerLimits kRefusal{
    .request = sys::seconds(2), .idle = sys::milliseconds(1), .write = sys::seconds(2)};

// The next connection. Running out of descriptors or memory passes; it must not end the enclave.
Result<sys::Fd> next_connection(const sys::Fd& listener) {
  for (;;) {
    auto connection = sys::accept(listener.get());
    if (connection || connection.error().kind() != ErrorKind::exhausted) return connection;
    ::poll(nullptr, 0, kExhaustedPause);
  }
}

class Listener {
 public:
  Listener(ListenerChannels channels, Mode mode, crypto::TlsIdentity identity, const Log& log)
      : control_(std::move(channels.control)),
        lanes_(std::move(channels.lanes)),
        monitor_(std::move(channels.monitor)),
        keeper_(std::move(channels.keeper)),
        shares_(monitor_),
        jobs_(monitor_, shares_, log),
        state_{mode, std::move(identity), keeper_, shares_, jobs_, tickets_, connections_, counters_},
        log_(log) {}

  // Accepts for ever. Each connection has a thread of its own, because TLS and HTTP here are plain loops.
  Status accept_control() {
    for (;;) {
      auto connection = TRY(next_connection(control_));
      auto slot = handshakes_.take(kStranger);
      if (!slot) {  // closing it is the answer
        ++counters_.refused_crowded;
        continue;
      }
      in_thread([this, fd = std::move(connection), slot = std::move(slot)]() mutable {
        if (auto served = serve_control(std::move(fd), std::move(slot)); !served)
          log_.debug("connection: {}", served.error().message());
      });
    }
  }

  Status accept_lanes() {
    for (;;) {
      auto connection = TRY(next_connection(lanes_));
      auto slot = hellos_.take(kStranger);
      if (!slot) {
        ++counters_.lanes_refused;
        continue;
      }
      in_thread([this, fd = std::move(connection), slot = std::move(slot)]() mutable {
        auto admitted = admit_lane(std::move(fd));
        ++(admitted ? counters_.lanes : counters_.lanes_refused);
        if (!admitted) log_.info("lane refused: {}", admitted.error().message());
      });
    }
  }

 private:
  // One connection may fail for want of a thread or of memory; the others and the enclave go on.
  template <class Body>
  void in_thread(Body body) {
    try {
      std::thread([this, body = std::move(body)]() mutable {
        try {
          body();
        } catch (const std::exception& error) {
          log_.warning("connection: {}", error.what());
        }
      }).detach();
    } catch (const std::system_error& error) {
      log_.warning("no thread for a connection: {}", error.what());
    }
  }

  Status serve_control(sys::Fd fd, std::optional<Slots::Slot> handshake) {
    auto transport = std::make_unique<sys::FdStream>(std::move(fd));
    transport->set_deadline(sys::Deadline::after(kHandshakeTimeout));
    auto accepted = crypto::attested_accept(std::move(transport), state_.identity);
    if (!accepted) ++counters_.refused_handshake;
    auto stream = TRY(std::move(accepted));
    auto session = TRY(Session::open(state_, *stream));
    auto place = connections_.take(session.client());
    if (!place) {
      ++counters_.refused_full;
      return refuse(*stream);
    }
    ++counters_.connections;
    handshake.reset();
    return http::serve_connection(
        *stream, [&session](const http::Request& request) { return session.answer(request); });
  }

  // Says why, while it still counts as a handshake.
  static Status refuse(crypto::TlsStream& stream) {
    Error error(ErrorKind::exhausted, fmt::format("you have {} connections, as many as a client may have",
                                                  kMaxConnectionsPerClient));
    return http::serve_connection(
        stream, [&](const http::Request&) { return http::Answer(http::error_response(error)); }, kRefusal);
  }

  Status admit_lane(sys::Fd fd) {
    sys::FdStream stream(std::move(fd));
    auto hello = TRY(share::read_hello(stream, sys::Deadline::after(kLaneHelloTimeout)));
    auto right = tickets_.redeem(hello.ticket);
    if (!right) {
      TRY(share::write_hello_reply(stream, {.status = share::LaneStatus::refused}));
      return std::unexpected(right.error());
    }
    bool notifier = hello.kind == share::LaneKind::notifications;
    if (notifier != (right->purpose == LanePurpose::notifications))
      return fail(ErrorKind::denied, "a ticket of another kind");
    // The share server writes to this lane unasked: its client must have read the reply by then.
    if (notifier) {
      TRY(share::write_hello_reply(stream, {}));
      return shares_.add_lane(*right, stream.release());
    }
    return add_and_answer(*right, stream.release());
  }

  // The share server writes nothing to a lane of requests before the client does, so that it can have the
  // lane while the reply is still to come, which says whether there was room.
  Status add_and_answer(const LaneRight& right, sys::Fd fd) {
    auto added = shares_.add_lane(right, fd);
    bool full =
        !added && (added.error().kind() == ErrorKind::exhausted || added.error().kind() == ErrorKind::denied);
    if (!added && !full) return added;
    sys::FdStream stream(std::move(fd));
    TRY(share::write_hello_reply(stream, {.status = full ? share::LaneStatus::full : share::LaneStatus::ok}));
    return added;
  }

  sys::Fd control_;
  sys::Fd lanes_;
  MonitorPeer monitor_;
  KeeperPeer keeper_;
  ShareServers shares_;
  Tickets tickets_;
  JobTable jobs_;
  Slots handshakes_{kMaxHandshakes, kMaxHandshakes};
  Slots hellos_{kMaxLaneHellos, kMaxLaneHellos};
  Slots connections_{kMaxConnections, kMaxConnectionsPerClient};
  ListenerCounters counters_;
  ListenerState state_;
  const Log& log_;
};

}  // namespace

Status run_listener(ListenerChannels channels, Mode mode, const Log& log) {
  auto identity = TRY(crypto::TlsIdentity::generate("cloister enclave"));
  // Connection threads are detached and use it to the last; the process ends with _exit, so it is never
  // destroyed under them.
  auto& listener = *new Listener(std::move(channels), mode, std::move(identity), log);
  std::thread lanes([&listener, &log] {
    if (auto ended = listener.accept_lanes(); !ended) log.error("share lanes: {}", ended.error().message());
    ::_exit(1);
  });
  lanes.detach();
  return listener.accept_control();
}

}  // namespace cloister::enclave
