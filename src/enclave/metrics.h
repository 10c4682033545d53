// What an enclave counts about itself, in Prometheus' text form. Sums over all clients only: no client, job
// or application is named.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "enclave/jobs.h"
#include "enclave/peers.h"
#include "enclave/trust.h"

namespace cloister::enclave {

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// Owned by the listener; any thread may count.
struct ListenerCounters {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point started = Clock::now();
  std::atomic<std::uint64_t> connections{0};        // control connections that were let in
  std::atomic<std::uint64_t> refused_crowded{0};    // too many strangers at once
  std::atomic<std::uint64_t> refused_handshake{0};  // TLS failed, or no client key
  std::atomic<std::uint64_t> refused_full{0};       // the client, or all together, have as many as they may
  std::atomic<std::uint64_t> lanes{0};
  std::atomic<std::uint64_t> lanes_refused{0};

  std::chrono::seconds uptime() const {
    return std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started);
  }
};

struct Metrics {
  Mode mode{};
  std::chrono::seconds uptime{};
  std::uint64_t connections_open = 0;
  const ListenerCounters& counters;
  JobTable::Totals jobs;
  ShareServers::Totals shares;
};

// docs/formats/control.md lists the names.
std::string metrics_text(const Metrics& metrics);

}  // namespace cloister::enclave
