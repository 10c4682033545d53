#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "host/mounts.h"
#include "host/proxy_process.h"

namespace cloister::cli {

namespace {

using nlohmann::json;

json describe(const Context& context, const host::EnclaveRecord& enclave) {
  json out{{"name", enclave.name},       {"backend", enclave.backend},
           {"mode", enclave.mode},       {"confidential", enclave.mode == "production"},
           {"running", enclave.alive()}, {"pcr0", to_hex(enclave.measurements.pcrs.at(0))},
           {"mounts", json::array()}};
  for (const auto& mount : host::list_mounts(context.paths, enclave.name))
    out["mounts"].push_back(mount.directory);
  auto proxy = host::running_proxy(context.paths, enclave.name);
  out["proxy"] = proxy ? json(proxy->destinations) : json();
  return out;
}

void print(const json& enclave) {
  fmt::print("{}  {}{}\n", enclave["name"].get<std::string>(),
             enclave["running"].get<bool>() ? "running" : "DEAD (cloister down cleans up)",
             enclave["confidential"].get<bool>() ? "" : ", simulated: NOT confidential");
  fmt::print("  PCR0   {}\n", enclave["pcr0"].get<std::string>());
  fmt::print("  proxy  {}\n",
             enclave["proxy"].is_null()
                 ? "none (cloister proxy -s kms)"
                 : fmt::format("{}", fmt::join(enclave["proxy"].get<std::vector<std::string>>(), ", ")));
  for (const auto& mount : enclave["mounts"]) fmt::print("  folder {}\n", mount.get<std::string>());
}

Result<int> status(const Context& context, bool as_json) {
  json all = json::array();
  for (const auto& enclave : host::list_records(context.paths)) all.push_back(describe(context, enclave));
  if (as_json) {
    fmt::print("{}\n", json{{"enclaves", all}}.dump(2));
    return 0;
  }
  if (all.empty()) fmt::print("no enclave is running (cloister up)\n");
  for (const auto& enclave : all) print(enclave);
  return 0;
}

}  // namespace

void add_status(CommandLine& line, const Context& context) {
  auto as_json = std::make_shared<bool>(false);
  line.verb("status", "Show the enclaves of this machine, their folders and proxies")
      .flag("--json", *as_json, "as JSON")
      .action([&context, as_json] { return status(context, *as_json); });
}

}  // namespace cloister::cli
