#include "host/proxy_process.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "host/background.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr sys::milliseconds kProxyStopTimeout = sys::seconds(5);

std::string record_path(const Paths& paths, const std::string& enclave) {
  return paths.enclave(enclave) + "/proxy.json";
}

Result<sys::Fd> listen_for(const EnclaveRecord& enclave) {
  auto listener = TRY(sys::listen(enclave.proxy).context("proxy"));
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

Status start_proxy(const Paths& paths, const EnclaveRecord& enclave, const std::vector<Route>& routes) {
  if (running_proxy(paths, enclave.name)) {
    Error error(ErrorKind::unavailable, "a proxy is running already");
    return std::unexpected(std::move(error).with_hint("run: cloister proxy --stop"));
  }
  // Listening here tells at once what is wrong with the socket; the background process listens again on the
  // same path.
  {
    auto probe = TRY(listen_for(enclave));
  }
  ::unlink(enclave.proxy.path.c_str());
  auto log_path = paths.enclave(enclave.name) + "/proxy.log";
  auto pid = TRY(fork_in_background(
      [&] {
        Log log(STDERR_FILENO, "proxy");
        auto served = serve_proxy(enclave, routes, log);
        if (!served) log.error("{}", served.error().message());
        return 1;
      },
      log_path));
  json record{{"pid", pid}, {"started", process_start_time(pid)}, {"destinations", json::array()}};
  for (const auto& route : routes)
    record["destinations"].push_back(fmt::format("{}:{}", route.host, route.port));
  TRY(sys::write_file_atomic(record_path(paths, enclave.name), as_bytes(record.dump(2)), 0600));
  auto deadline = sys::Deadline::after(kConnectTimeout);
  while (!sys::connect(enclave.proxy, deadline)) {
    if (deadline.passed() || !running_proxy(paths, enclave.name))
      return fail(ErrorKind::unavailable, "the proxy did not start: see {}", log_path);
    ::poll(nullptr, 0, 10);
  }
  return {};
}

Status serve_proxy(const EnclaveRecord& enclave, const std::vector<Route>& routes, const Log& log) {
  return run_proxy(TRY(listen_for(enclave)), routes, log);
}

Status stop_proxy(const Paths& paths, const std::string& enclave) {
  if (auto proxy = running_proxy(paths, enclave))
    TRY(stop_in_background(proxy->pid, proxy->started, kProxyStopTimeout));
  ::unlink(record_path(paths, enclave).c_str());
  return {};
}

}  // namespace cloister::host
