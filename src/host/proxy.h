// The parent's proxy: the enclave's only way out. It takes HTTP CONNECT from the enclave, checks the
// destination against an allow-list, and carries bytes; TLS ends in the enclave. The list is a convenience of
// the host's owner, not a wall: the enclave checks destinations itself.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <vector>

#include "base/log.h"
#include "host/allow_list.h"
#include "sys/stream.h"

namespace cloister::host {

inline constexpr std::size_t kMaxProxyConnections = 512;  // that are carried
inline constexpr std::size_t kMaxProxyWaiting = 128;      // whose request has not come yet
inline constexpr sys::milliseconds kProxyRequestTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kProxyConnectTimeout = sys::seconds(10);
inline constexpr sys::milliseconds kProxyLookAround = sys::seconds(1);
inline constexpr sys::milliseconds kProxyIdle = std::chrono::minutes(5);

// Since the proxy started. Bytes are those of connections that have ended.
struct ProxyCounters {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> active{0};   // being carried now
  std::atomic<std::uint64_t> refused{0};  // not on the list, malformed, or over a limit
  std::atomic<std::uint64_t> failed{0};   // the destination could not be reached
  std::atomic<std::uint64_t> bytes_out{0};
  std::atomic<std::uint64_t> bytes_back{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// Connections that have not yet said where they want to go. Whoever is slow to say it makes room for others:
// the oldest is shut down when another comes and there are `limit`. Thread-safe.
class WaitingRoom {
 public:
  explicit WaitingRoom(std::size_t limit) : limit_(limit) {}

  using Place = std::list<int>::iterator;
  // fd stays open until leave().
  Place enter(int fd);
  // false: it was shut down to make room.
  bool leave(Place place);

 private:
  const std::size_t limit_;
  std::mutex mutex_;
  std::list<int> waiting_;  // oldest first; -1: shut down
  std::size_t open_ = 0;
};

// Owner: the process that serves; it lives as long, for connections have threads of their own that are never
// joined.
class Proxy {
 public:
  // counters outlives it.
  Proxy(std::vector<Route> routes, sys::milliseconds idle, ProxyCounters& counters, Log log)
      : routes_(std::move(routes)), idle_(idle), counters_(counters), log_(std::move(log)) {}

  // Until keep_on() is false, which is asked at least once in kProxyLookAround. Names are resolved anew for
  // every connection.
  Status run(const sys::Fd& listener, const std::function<bool()>& keep_on);

 private:
  void start(sys::Fd connection);
  void serve(sys::Fd connection);
  Status carry(sys::FdStream stream, WaitingRoom::Place place);
  Result<sys::Fd> open_upstream(std::string_view method, std::string_view target) const;
  void count_refusal(const Error& error);

  const std::vector<Route> routes_;
  const sys::milliseconds idle_;
  ProxyCounters& counters_;
  const Log log_;
  WaitingRoom waiting_{kMaxProxyWaiting};
  std::atomic<std::size_t> threads_{0};
};

}  // namespace cloister::host
