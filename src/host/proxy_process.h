// The proxy as a process of an enclave: detached, found again, stopped.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "host/enclave_record.h"
#include "host/proxy.h"

namespace cloister::host {

struct ProxyOptions {
  std::vector<Route> routes;
  sys::milliseconds idle = kProxyIdle;
};

// ProxyCounters, read.
struct ProxyTraffic {
  std::uint64_t accepted = 0;
  std::uint64_t active = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t bytes_back = 0;
};

struct ProxyRecord {
  pid_t pid = -1;
  std::uint64_t started = 0;
  std::vector<std::string> destinations;
};

// Listens where the enclave will look, then serves in the background until stopped, or until the enclave has
// ended. unavailable: one is running already, or the enclave has ended.
Status start_proxy(const Paths& paths, const EnclaveRecord& enclave, const ProxyOptions& options);
// Serves in this process until it is ended (a signal), or the enclave is (unavailable); recorded like one in
// the background. on_ready: it listens.
Status run_proxy_in_foreground(const Paths& paths, const EnclaveRecord& enclave, const ProxyOptions& options,
                               const std::function<void()>& on_ready);
// Success if none is running.
Status stop_proxy(const Paths& paths, const std::string& enclave);
std::optional<ProxyRecord> running_proxy(const Paths& paths, const std::string& enclave);
// nullopt: it is another release's.
std::optional<ProxyTraffic> traffic_of_proxy(const Paths& paths, const std::string& enclave);

}  // namespace cloister::host
