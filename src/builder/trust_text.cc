#include "builder/trust_text.h"

#include <nlohmann/json.hpp>

#include "kms/partition.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxTrust = 1024 * 1024;  // bytes, as the supervisor has it

// All of src/sandbox/wall.h but cgroup_cpu: the kernel of an image has what each needs, and no job has a
// limit of processor time that this one could be built from.
const json kAllWalls = {"session",       "keyring",      "descriptors",
                        "limits",        "capabilities", "identity",
                        "parent_death",  "landlock",     "no_new_privileges",
                        "dumpable",      "seccomp",      "mounts",
                        "pids",          "proc",         "network",
                        "ipc",           "hostname",     "cgroup",
                        "cgroup_memory", "cgroup_pids",  "idmap"};

json aws_endpoints() {
  json out;
  for (const auto& partition : kms::partitions()) {
    json variants{{"standard", fmt::format("kms.{{region}}.{}", partition.suffix)}};
    if (partition.id == "aws" || partition.id == "aws-us-gov")
      variants["fips"] = fmt::format("kms-fips.{{region}}.{}", partition.suffix);
    if (partition.id == "aws")
      variants["dualstack"] = fmt::format("kms.{{region}}.{}", partition.dualstack_suffix);
    if (partition.id == "aws")
      variants["fips-dualstack"] = fmt::format("kms-fips.{{region}}.{}", partition.dualstack_suffix);
    out[std::string(partition.id)] = variants;
  }
  return out;
}

}  // namespace

std::string compose_trust(Mode mode, std::string_view kms_ca_pem) {
  json endpoints = mode == Mode::production ? aws_endpoints()
                                            : json{{"aws", {{"standard", "kms.{region}.cloister.test"}}}};
  json object{{"version", 1},
              {"mode", to_string(mode)},
              {"kms_endpoints", endpoints},
              {"kms_ca_bundle", kms_ca_pem},
              {"required_walls", kAllWalls}};
  return object.dump(2) + "\n";
}

Result<std::string> check_trust(const std::string& path, Mode mode) {
  auto bytes = TRY(sys::read_file(path, kMaxTrust));
  auto object = json::parse(as_text(bytes), nullptr, false);
  if (!object.is_object() || !object.contains("mode") || !object["mode"].is_string())
    return fail(ErrorKind::invalid, "{} is not a trust file (docs/formats/trust.md)", path);
  auto actual = object["mode"].get<std::string>();
  if (actual != to_string(mode))
    return fail(ErrorKind::invalid, "{} is for mode {}, the recipe for {}", path, actual, to_string(mode));
  return std::string(as_text(bytes));
}

}  // namespace cloister::builder
