#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/backend.h"
#include "host/job_list.h"
#include "host/known_signers.h"
#include "host/mounts.h"
#include "host/proxy_process.h"

namespace cloister::cli {

namespace {

using nlohmann::json;

constexpr std::string_view kNoProxy = "none (cloister proxy -s kms)";

// What is known of one enclave: from this machine's records, and from itself if it answers.
struct EnclaveStatus {
  host::EnclaveRecord record;
  bool running = false;
  std::string problem;  // why it told nothing
  std::vector<std::pair<host::MountRecord, std::optional<host::MountTraffic>>> mounts;
  std::optional<host::ProxyRecord> proxy;
  std::optional<host::ProxyTraffic> proxy_traffic;
  std::optional<std::vector<host::JobSummary>> jobs;

  bool confidential() const { return record.mode == "production"; }
};

// Who has never used an enclave has no key and no jobs; looking must not make one.
bool has_key(const Context& context) {
  struct stat info{};
  return ::stat(context.paths.client_key().c_str(), &info) == 0;
}

Result<std::vector<host::JobSummary>> ask_for_jobs(const Context& context,
                                                   const host::EnclaveRecord& enclave) {
  if (!has_key(context)) return std::vector<host::JobSummary>();
  auto session = TRY(context.open_session(enclave, ""));
  return host::list_jobs(session);
}

EnclaveStatus look_at(const Context& context, const host::EnclaveRecord& enclave) {
  auto state = host::state_of(enclave, context.environment);
  EnclaveStatus out{.record = enclave, .running = state.running, .problem = state.problem};
  for (auto& mount : host::list_mounts(context.paths, enclave.name)) {
    auto traffic = host::traffic_of(context.paths, mount);
    out.mounts.emplace_back(std::move(mount), traffic);
  }
  out.proxy = host::running_proxy(context.paths, enclave.name);
  if (out.proxy) out.proxy_traffic = host::traffic_of_proxy(context.paths, enclave.name);
  if (!out.running) return out;
  auto jobs = ask_for_jobs(context, enclave);
  if (!jobs && out.problem.empty()) out.problem = jobs.error().message();
  if (jobs) out.jobs = *std::move(jobs);
  return out;
}

const host::JobSummary* last_ended(const std::vector<host::JobSummary>& jobs) {
  auto found = std::ranges::find_if(jobs, [](const auto& job) { return job.ended(); });
  return found == jobs.end() ? nullptr : &*found;
}

// --- JSON. Members are added, never renamed or removed. ---------------------------------------

json to_json(const host::JobSummary& job) {
  json out{{"id", job.id}, {"state", job.state}, {"entry", job.entry}};
  if (!job.name.empty()) {
    out["name"] = job.name;
    out["release"] = job.release;
  }
  if (job.exit_code) out["exit_code"] = *job.exit_code;
  if (!job.error.empty()) out["error"] = job.error;
  return out;
}

json jobs_json(const std::vector<host::JobSummary>& jobs) {
  json running = json::array();
  for (const auto& job : jobs) {
    if (!job.ended()) running.push_back(to_json(job));
  }
  const auto* last = last_ended(jobs);
  return {{"running", running}, {"last_ended", last == nullptr ? json() : to_json(*last)}};
}

json mounts_json(const EnclaveStatus& enclave) {
  json out = json::array();
  for (const auto& [mount, traffic] : enclave.mounts) {
    json one{{"directory", mount.directory}};
    if (traffic) {
      one["requests"] = traffic->requests;
      one["bytes_read"] = traffic->bytes_read;
      one["bytes_written"] = traffic->bytes_written;
    }
    out.push_back(std::move(one));
  }
  return out;
}

json to_json(const host::ProxyTraffic& traffic) {
  return {{"accepted", traffic.accepted},   {"active", traffic.active},
          {"refused", traffic.refused},     {"failed", traffic.failed},
          {"bytes_out", traffic.bytes_out}, {"bytes_back", traffic.bytes_back}};
}

json to_json(const EnclaveStatus& enclave) {
  json out{{"name", enclave.record.name},
           {"backend", enclave.record.backend},
           {"mode", enclave.record.mode},
           {"confidential", enclave.confidential()},
           {"running", enclave.running},
           {"pcr0", to_hex(enclave.record.measurements.pcrs.at(0))},
           {"mounts", mounts_json(enclave)},
           {"proxy", enclave.proxy ? json(enclave.proxy->destinations) : json()},
           {"proxy_traffic", enclave.proxy_traffic ? to_json(*enclave.proxy_traffic) : json()},
           {"jobs", enclave.jobs ? jobs_json(*enclave.jobs) : json()},
           {"weaker", json()}};
  if (enclave.jobs) {
    if (auto walls = host::weaker_walls(*enclave.jobs)) out["weaker"] = *walls;
  }
  if (!enclave.problem.empty()) out["problem"] = enclave.problem;
  return out;
}

// --- For people ----------------------------------------------------------------------------

std::string readable_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits.at(unit));
}

void line(std::string_view what, std::string_view text) {
  fmt::print("  {:<8} {}\n", what, escape_controls(text));
}

std::string describe(const host::JobSummary& job) {
  auto code = job.exit_code ? fmt::format(" ({})", *job.exit_code) : "";
  auto name = job.name.empty() ? "" : fmt::format("{} {}  ", job.name, job.release);
  return fmt::format("{}  {}{}  {}{}{}", job.id, job.state, code, name, job.entry,
                     job.error.empty() ? "" : ": " + job.error);
}

std::string describe(const host::ProxyTraffic& traffic) {
  return fmt::format("{} connections ({} now), {} refused, {} failed, {} out, {} back", traffic.accepted,
                     traffic.active, traffic.refused, traffic.failed, readable_bytes(traffic.bytes_out),
                     readable_bytes(traffic.bytes_back));
}

void print_mounts(const EnclaveStatus& enclave) {
  for (const auto& [mount, traffic] : enclave.mounts) {
    auto carried =
        traffic ? fmt::format("  {} requests, {} read, {} written", traffic->requests,
                              readable_bytes(traffic->bytes_read), readable_bytes(traffic->bytes_written))
                : "";
    line("folder", mount.directory + carried);
  }
  if (enclave.mounts.empty()) line("folder", "none (cloister sync -d DIR)");
}

void print_jobs(const std::vector<host::JobSummary>& jobs) {
  for (const auto& job : jobs) {
    if (!job.ended()) line("job", describe(job));
  }
  const auto* last = last_ended(jobs);
  if (last != nullptr) line("last job", describe(*last));
  if (jobs.empty()) line("jobs", "none of yours");
}

void print_walls(const std::vector<host::JobSummary>& jobs) {
  auto walls = host::weaker_walls(jobs);
  if (!walls) return line("walls", "told once a job has run");
  if (walls->empty()) return line("walls", "all of them");
  for (const auto& wall : *walls) line("weaker", wall);
}

void print(const EnclaveStatus& enclave) {
  fmt::print("{}  {}{}\n", enclave.record.name,
             enclave.running ? "running" : "DEAD (cloister down cleans up)",
             enclave.confidential() ? "" : fmt::format(", {}: NOT confidential", enclave.record.mode));
  line("backend", enclave.record.backend);
  line("PCR0", to_hex(enclave.record.measurements.pcrs.at(0)));
  line("proxy", enclave.proxy ? fmt::format("{}", fmt::join(enclave.proxy->destinations, ", "))
                              : std::string(kNoProxy));
  if (enclave.proxy_traffic) line("carried", describe(*enclave.proxy_traffic));
  print_mounts(enclave);
  if (!enclave.problem.empty()) line("problem", enclave.problem);
  if (!enclave.jobs) return;
  print_jobs(*enclave.jobs);
  print_walls(*enclave.jobs);
}

void print(const host::KnownSigners& signers) {
  for (const auto& signer : signers.all())
    fmt::print("signer {}  {}\n", escape_controls(signer.name), to_hex(signer.fingerprint));
  if (signers.all().empty()) fmt::print("you trust no signer yet (cloister signer add NAME FINGERPRINT)\n");
}

Result<int> status(const Context& context, bool as_json) {
  auto signers = TRY(host::KnownSigners::load(context.paths.known_signers()));
  std::vector<EnclaveStatus> enclaves;
  for (const auto& enclave : host::list_records(context.paths)) enclaves.push_back(look_at(context, enclave));
  if (as_json) {
    json out{{"enclaves", json::array()}, {"signers", json::array()}};
    for (const auto& enclave : enclaves) out["enclaves"].push_back(to_json(enclave));
    for (const auto& signer : signers.all())
      out["signers"].push_back({{"name", signer.name}, {"fingerprint", to_hex(signer.fingerprint)}});
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
    return 0;
  }
  if (enclaves.empty()) fmt::print("no enclave is running (cloister up)\n");
  for (const auto& enclave : enclaves) print(enclave);
  print(signers);
  return 0;
}

}  // namespace

void add_status(CommandLine& line, const Context& context) {
  auto as_json = std::make_shared<bool>(false);
  line.verb("status",
            "Show the enclaves of this machine: folders, proxies, your jobs, and whose packages you run")
      .flag("--json", *as_json, "as JSON")
      .example("cloister status")
      .action([&context, as_json] { return status(context, *as_json); });
}

}  // namespace cloister::cli
