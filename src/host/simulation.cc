#include "host/simulation.h"

#include <nlohmann/json.hpp>

#include "image/simulated.h"
#include "sys/file.h"
#include "sys/program.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxAuthorityFile = 1024 * 1024;  // bytes
constexpr std::size_t kMaxOsRelease = 64 * 1024;        // bytes
constexpr const char* kSupervisorName = "cloisterd-sim";

// The value of one KEY=value or KEY="value" line.
std::string os_release_value(std::string_view text, std::string_view key) {
  std::string line_start = fmt::format("\n{}=", key);
  std::string all = "\n" + std::string(text);
  auto at = all.find(line_start);
  if (at == std::string::npos) return "";
  auto value = all.substr(at + line_start.size());
  value = value.substr(0, value.find('\n'));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return value;
}

Result<std::string> read_text(const std::string& path, std::size_t max) {
  auto bytes = TRY(sys::read_file(path, max));
  return std::string(as_text(bytes));
}

}  // namespace

std::string simulated_trust(std::string_view kms_ca_pem) {
  json object{
      {"version", 1},
      {"mode", "simulated"},
      {"kms_endpoints", {{"aws", {{"standard", "kms.{region}.cloister.test"}}}}},
      {"kms_ca_bundle", kms_ca_pem},
      {"required_walls",
       {"session", "descriptors", "limits", "capabilities", "identity", "parent_death", "no_new_privileges",
        "seccomp", "dumpable", "mounts", "pids", "proc", "network", "ipc", "hostname"}}};
  return object.dump(2) + "\n";
}

std::string describe_runtime(std::string_view os_release) {
  json object{{"version", 1},
              {"runtime", "this machine's system directories, read-only"},
              {"id", os_release_value(os_release, "ID")},
              {"version_id", os_release_value(os_release, "VERSION_ID")}};
  return object.dump(2) + "\n";
}

Result<Simulation> compose_simulation(const std::string& directory, const std::string& kms_ca) {
  Simulation out;
  out.supervisor = TRY(sys::beside_this_program(kSupervisorName));
  out.trust_file = directory + "/trust.json";
  out.runtime_file = directory + "/runtime.json";
  auto authority = TRY(read_text(kms_ca, kMaxAuthorityFile).context("KMS authority"));
  auto os_release = TRY(read_text("/etc/os-release", kMaxOsRelease));
  TRY(sys::make_directories(directory, 0755));
  TRY(sys::write_file_atomic(out.trust_file, as_bytes(simulated_trust(authority))));
  TRY(sys::write_file_atomic(out.runtime_file, as_bytes(describe_runtime(os_release))));
  auto parts = TRY(image::measure_parts(out.supervisor, out.trust_file, out.runtime_file));
  out.measurements = image::simulated_measurements(parts);
  return out;
}

}  // namespace cloister::host
