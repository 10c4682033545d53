#include "host/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace cloister::host {

namespace {

constexpr const char* kMachineRun = "/run/cloister";
constexpr std::size_t kMaxEnclaveName = 32;  // bytes: its sockets' paths must fit into 107

std::optional<std::string> non_empty(const Environment& environment, std::string_view name) {
  auto value = environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

// "a:b" → a, b; at least one.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (;;) {
    auto end = text.find(':');
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<Paths> Paths::find(const Environment& environment, bool root) {
  auto user_home = non_empty(environment, "HOME").value_or(root ? "/root" : "");
  auto config = non_empty(environment, "XDG_CONFIG_HOME").value_or(user_home + "/.config");
  auto data = non_empty(environment, "XDG_DATA_HOME").value_or(user_home + "/.local/share");
  auto runtime = non_empty(environment, "XDG_RUNTIME_DIR").value_or(user_home + "/.local/state");
  Paths out;
  out.home = non_empty(environment, "CLOISTER_HOME").value_or(config + "/cloister");
  out.state =
      non_empty(environment, "CLOISTER_STATE").value_or(root ? "/var/lib/cloister" : data + "/cloister");
  auto all = split(non_empty(environment, "CLOISTER_RUN")
                       .value_or(root ? kMachineRun : fmt::format("{}/cloister:{}", runtime, kMachineRun)));
  out.run = all.front();
  out.also_run.assign(all.begin() + 1, all.end());
  std::vector<std::string> named{out.home, out.state, out.run};
  named.insert(named.end(), out.also_run.begin(), out.also_run.end());
  for (const auto& path : named) {
    if (!path.starts_with('/')) {
      return fail(ErrorKind::invalid,
                  "'{}' is not an absolute path (set HOME, or CLOISTER_HOME, _STATE and _RUN)", path);
    }
  }
  return out;
}

Status check_enclave_name(std::string_view name) {
  bool characters = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (name.empty() || name.size() > kMaxEnclaveName || !characters) {
    return fail(ErrorKind::invalid, "enclave name '{}' is not 1 to {} of a-z, 0-9, -", name, kMaxEnclaveName);
  }
  return {};
}

}  // namespace cloister::host
