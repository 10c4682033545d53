// Server: the API over HTTPS, a thread per connection. run() returns when told to stop, with every connection
// ended.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/log.h"
#include "crypto/x509.h"
#include "emulator/api.h"
#include "sys/endpoint.h"

namespace cloister::emulator {

inline constexpr std::size_t kMaxConnections = 64;  // more wait in the listener's backlog
inline constexpr sys::milliseconds kHandshakeTime = sys::seconds(10);
inline constexpr sys::milliseconds kConnectionIdle = sys::seconds(30);

struct ServerIdentity {
  crypto::PrivateKey key;
  std::vector<crypto::Certificate> chain;  // from the leaf up
};

class Server {
 public:
  // identity: absent for plain HTTP, which is refused on anything but loopback and unix sockets. port 0 picks
  // one.
  static Result<Server> listen(const sys::Endpoint& endpoint, std::optional<ServerIdentity> identity);

  // "https://127.0.0.1:8480".
  std::string url() const;
  // Until stop_fd becomes readable. clock and api outlive it.
  Status run(const Api& api, const sys::Clock& clock, int stop_fd, const Log& log);

 private:
  Server(sys::Fd listener, sys::Endpoint endpoint, std::optional<ServerIdentity> identity)
      : listener_(std::move(listener)), endpoint_(std::move(endpoint)), identity_(std::move(identity)) {}
  sys::Fd listener_;
  sys::Endpoint endpoint_;
  std::optional<ServerIdentity> identity_;
};

}  // namespace cloister::emulator
