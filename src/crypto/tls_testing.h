// What the TLS tests share: two ends on a socket pair, shaking hands at once. For tests only.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <future>
#include <memory>
#include <string>

#include "crypto/tls.h"

namespace cloister::crypto {

using Transport = std::unique_ptr<sys::Stream>;
using Tls = Result<std::unique_ptr<TlsStream>>;

inline constexpr sys::milliseconds kPatience{10'000};

struct Wire {
  Transport client;
  Transport server;
};

inline Wire wire() {
  auto pair = *sys::make_socket_pair(SOCK_STREAM);
  Wire out{std::make_unique<sys::FdStream>(std::move(pair.first)),
           std::make_unique<sys::FdStream>(std::move(pair.second))};
  for (auto* stream : {out.client.get(), out.server.get()})
    stream->set_deadline(sys::Deadline::after(kPatience));
  return out;
}

struct Ends {
  Tls client;
  Tls server;
};

// Both ends of a handshake at once. An end that fails drops its transport, so the other one ends too.
inline Ends shake(Wire wire, const std::function<Tls(Transport)>& client,
                  const std::function<Tls(Transport)>& server) {
  auto accepted = std::async(std::launch::async, [&] { return server(std::move(wire.server)); });
  auto connected = client(std::move(wire.client));
  return {std::move(connected), accepted.get()};
}

inline const TlsIdentity& identity(int which) {
  static const TlsIdentity kIdentities[] = {*TlsIdentity::generate("client"),
                                            *TlsIdentity::generate("server")};
  return kIdentities[which];
}

inline Ends attested(const TlsIdentity& client = identity(0), const TlsIdentity& server = identity(1)) {
  return shake(
      wire(), [&](Transport s) { return attested_connect(std::move(s), client); },
      [&](Transport s) { return attested_accept(std::move(s), server); });
}

inline std::string read_text(TlsStream& stream, std::size_t size) {
  Bytes out(size);
  auto read = sys::read_exactly(stream, out);
  return read ? std::string(as_text(out)) : read.error().message();
}

}  // namespace cloister::crypto
