// The proxy as a process of an enclave: detached, found again, stopped.
#pragma once

#include <optional>
#include <vector>

#include "host/enclave_record.h"
#include "host/proxy.h"

namespace cloister::host {

struct ProxyRecord {
  pid_t pid = -1;
  std::uint64_t started = 0;
  std::vector<std::string> destinations;
};

// Listens where the enclave will look, then serves in the background. unavailable: one is running already.
Status start_proxy(const Paths& paths, const EnclaveRecord& enclave, const std::vector<Route>& routes);
// Serves in this process until it is ended.
Status serve_proxy(const EnclaveRecord& enclave, const std::vector<Route>& routes, const Log& log);
// Success if none is running.
Status stop_proxy(const Paths& paths, const std::string& enclave);
std::optional<ProxyRecord> running_proxy(const Paths& paths, const std::string& enclave);

}  // namespace cloister::host
