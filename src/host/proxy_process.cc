#include "host/proxy_process.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "host/background.h"
#include "host/shared_page.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr int kProxyBacklog = 512;  // connections that wait to be accepted
constexpr sys::milliseconds kProxyStopTimeout = sys::seconds(5);

std::string record_path(const Paths& paths, const std::string& enclave) {
  return paths.enclave(enclave) + "/proxy.json";
}

std::string traffic_path(const Paths& paths, const std::string& enclave) {
  return paths.enclave(enclave) + "/proxy.traffic";
}

Status check_it_may_start(const Paths& paths, const EnclaveRecord& enclave) {
  if (!enclave.alive()) {
    Error error(ErrorKind::unavailable, fmt::format("enclave '{}' has ended", enclave.name));
    return std::unexpected(std::move(error).with_hint("run: cloister up"));
  }
  if (!running_proxy(paths, enclave.name)) return {};
  Error error(ErrorKind::unavailable, "a proxy is running already");
  return std::unexpected(std::move(error).with_hint("run: cloister proxy --stop"));
}

Status write_record(const Paths& paths, const std::string& enclave, pid_t pid, const ProxyOptions& options) {
  json record{{"pid", pid}, {"started", process_start_time(pid)}, {"destinations", json::array()}};
  for (const auto& route : options.routes)
    record["destinations"].push_back(fmt::format("{}:{}", route.host, route.port));
  return sys::write_file_atomic(record_path(paths, enclave), as_bytes(record.dump(2)), 0600);
}

// Two descriptors for each connection: more than the 1024 that a process may have unless it asks.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The proxy is never destroyed: the threads of its connections use it to the last.
Status serve(const sys::Fd& listener, const EnclaveRecord& enclave, const ProxyOptions& options,
             ProxyCounters& counters) {
  allow_many_descriptors();
  auto& proxy = *new Proxy(options.routes, options.idle, counters, Log(STDERR_FILENO, "proxy"));
  TRY(proxy.run(listener, [&] { return enclave.alive(); }));
  return fail(ErrorKind::unavailable, "enclave '{}' has ended", enclave.name);
}

Result<sys::Fd> listen_for(const EnclaveRecord& enclave) {
  auto listening = sys::listen(enclave.proxy, kProxyBacklog).context("proxy");
  // Enclaves on Nitro know their parent by one address and one port.
  if (enclave.proxy.kind == sys::Endpoint::Kind::vsock)
    listening =
        std::move(listening).with_hint("another enclave's proxy serves this one, too: cloister status");
  auto listener = TRY(std::move(listening));
  // The enclave's keeper is a user of its own. Whoever else gets into the directory (the enclave's group)
  // reaches no more through it than the destinations that are allowed.
  if (enclave.proxy.kind == sys::Endpoint::Kind::unix_path &&
      ::chmod(enclave.proxy.path.c_str(), 0666) != 0) {
    return fail_errno(enclave.proxy.path);
  }
  return listener;
}

}  // namespace

std::optional<ProxyRecord> running_proxy(const Paths& paths, const std::string& enclave) {
  auto bytes = sys::read_file(record_path(paths, enclave), kMaxRecord);
  if (!bytes) return std::nullopt;
  auto object = json::parse(bytes->begin(), bytes->end(), nullptr, /*allow_exceptions=*/false);
  ProxyRecord out;
  if (!object.is_object() || !object.contains("pid") || !object["pid"].is_number()) return std::nullopt;
  out.pid = object["pid"].get<pid_t>();
  out.started = object.value("started", std::uint64_t{0});
  out.destinations = object.value("destinations", std::vector<std::string>{});
  if (out.started == 0 || process_start_time(out.pid) != out.started) return std::nullopt;
  return out;
}

Status start_proxy(const Paths& paths, const EnclaveRecord& enclave, const ProxyOptions& options) {
  TRY(check_it_may_start(paths, enclave));
  // Listening here tells at once what is wrong with the socket, and leaves nothing to wait for.
  auto listener = TRY(listen_for(enclave));
  auto counters = TRY(SharedPage<ProxyCounters>::create(traffic_path(paths, enclave.name)));
  auto log_path = paths.enclave(enclave.name) + "/proxy.log";
  HeldSignals held;
  auto pid = TRY(fork_in_background(
      [&] {
        auto served = serve(listener, enclave, options, *counters);
        if (!served) Log(STDERR_FILENO, "proxy").error("{}", served.error().message());
        return 1;
      },
      log_path, listener.get()));
  return write_record(paths, enclave.name, pid, options);
}

Status run_proxy_in_foreground(const Paths& paths, const EnclaveRecord& enclave, const ProxyOptions& options,
                               const std::function<void()>& on_ready) {
  TRY(check_it_may_start(paths, enclave));
  auto listener = TRY(listen_for(enclave));
  auto counters = TRY(SharedPage<ProxyCounters>::create(traffic_path(paths, enclave.name)));
  TRY(write_record(paths, enclave.name, ::getpid(), options));
  on_ready();
  return serve(listener, enclave, options, *counters);
}

std::optional<ProxyTraffic> traffic_of_proxy(const Paths& paths, const std::string& enclave) {
  return read_page<ProxyTraffic, ProxyCounters>(traffic_path(paths, enclave));
}

Status stop_proxy(const Paths& paths, const std::string& enclave) {
  if (auto proxy = running_proxy(paths, enclave))
    TRY(stop_in_background(proxy->pid, proxy->started, kProxyStopTimeout));
  ::unlink(record_path(paths, enclave).c_str());
  ::unlink(traffic_path(paths, enclave).c_str());
  return {};
}

}  // namespace cloister::host
