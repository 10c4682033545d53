#include "sandbox/wall.h"

namespace cloister::sandbox {

namespace {

constexpr std::array<std::string_view, kWallCount> kNames = {
    "session",      "keyring",  "descriptors",   "limits",
    "capabilities", "identity", "parent_death",  "no_new_privileges",
    "landlock",     "dumpable", "seccomp",       "mounts",
    "pids",         "proc",     "network",       "ipc",
    "hostname",     "cgroup",   "cgroup_memory", "cgroup_pids",
    "cgroup_cpu",   "idmap"};
static_assert(!kNames.back().empty());

void set(WallEntry& entry, WallState state, std::string_view note) {
  entry.state = state;
  auto cut = note.substr(0, std::min(note.find('\0'), sizeof entry.note.data - 1));
  entry.note = {};
  std::copy(cut.begin(), cut.end(), std::begin(entry.note.data));
}

}  // namespace

std::string_view to_string(Wall wall) {
  auto index = static_cast<std::size_t>(wall);
  return index < kWallCount ? kNames[index] : "unknown";
}

Result<Wall> wall_from(std::string_view name) {
  for (std::size_t i = 0; i < kWallCount; ++i) {
    if (kNames[i] == name) return static_cast<Wall>(i);
  }
  return fail(ErrorKind::invalid, "'{}' is not a wall", name);
}

void WallReport::hold(Wall wall, std::string_view note) {
  set(entries[static_cast<std::size_t>(wall)], WallState::held, note);
}

void WallReport::lack(Wall wall, std::string_view note) {
  set(entries[static_cast<std::size_t>(wall)], WallState::unavailable, note);
}

void WallReport::merge(const WallReport& other) {
  for (std::size_t i = 0; i < kWallCount; ++i) {
    if (entries[i].state == WallState::absent) entries[i] = other.entries[i];
  }
}

Status WallReport::require(const WallSet& minimum) const {
  for (std::size_t i = 0; i < kWallCount; ++i) {
    if (!minimum.has(static_cast<Wall>(i)) || entries[i].state == WallState::held) continue;
    auto note = entries[i].note.view();
    return fail(ErrorKind::denied, "the wall {} does not hold: {}", kNames[i],
                note.empty() ? "it was not built" : note);
  }
  return {};
}

}  // namespace cloister::sandbox
