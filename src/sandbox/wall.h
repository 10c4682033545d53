// Walls by name: which there are, which must hold, and which did. The report is a fixed struct, so that a
// contained process can send it to its launcher, and the launcher can add the walls that it built itself.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "sys/message_socket.h"

namespace cloister::sandbox {

enum class Wall : std::uint8_t {
  // Built by contain(), in this order.
  session,            // no controlling terminal
  keyring,            // a session keyring of its own
  descriptors,        // nothing inherited but what is named
  limits,             // rlimits, no core dumps
  capabilities,       // none, and no way to gain one
  identity,           // its own uid and gid, no groups
  parent_death,       // dies with its parent
  no_new_privileges,  // setuid and file capabilities gain nothing
  landlock,           // only the named paths
  dumpable,           // memory and descriptors closed to processes of the same user
  seccomp,            // only the named system calls
  // Built by the launcher.
  mounts,         // a root of its own
  pids,           // a pid namespace
  proc,           // /proc shows its own processes only
  network,        // a network namespace without interfaces
  ipc,            // System V IPC and message queues
  hostname,       // UTS namespace
  cgroup,         // a cgroup of its own: ended as a whole by cgroup.kill
  cgroup_memory,  // memory of the whole job
  cgroup_pids,    // processes of the whole job
  cgroup_cpu,
  idmap,  // the share's owner and the job's user are different ids
};
inline constexpr std::size_t kWallCount = static_cast<std::size_t>(Wall::idmap) + 1;

std::string_view to_string(Wall wall);          // "no_new_privileges"
Result<Wall> wall_from(std::string_view name);  // invalid: no such wall

// A set of walls, for example the minimum that a trust file asks for.
class WallSet {
 public:
  constexpr WallSet() = default;
  constexpr WallSet(std::initializer_list<Wall> walls) {
    for (Wall wall : walls) add(wall);
  }
  static constexpr WallSet all() {
    WallSet set;
    set.bits_ = (1U << kWallCount) - 1;
    return set;
  }
  constexpr void add(Wall wall) { bits_ |= 1U << static_cast<unsigned>(wall); }
  constexpr void add(const WallSet& walls) { bits_ |= walls.bits_; }
  constexpr void remove(Wall wall) { bits_ &= ~(1U << static_cast<unsigned>(wall)); }
  constexpr bool has(Wall wall) const { return (bits_ >> static_cast<unsigned>(wall) & 1U) != 0; }
  constexpr bool empty() const { return bits_ == 0; }

 private:
  std::uint32_t bits_ = 0;
};

enum class WallState : std::uint8_t {
  absent,       // nobody built it
  held,         // built and checked
  unavailable,  // this kernel or this host lacks it: the note says why
};

struct WallEntry {
  WallState state = WallState::absent;
  sys::FixedText<120> note;  // "ABI 7", "kernel without Landlock"; cut when longer
};

struct WallReport {
  std::array<WallEntry, kWallCount> entries;

  const WallEntry& at(Wall wall) const { return entries[static_cast<std::size_t>(wall)]; }
  bool held(Wall wall) const { return at(wall).state == WallState::held; }
  void hold(Wall wall, std::string_view note = {});
  void lack(Wall wall, std::string_view note);
  // Takes over what the other report says about walls that this one has as absent.
  void merge(const WallReport& other);
  // denied: a wall of the minimum does not hold; the error names it and its note.
  Status require(const WallSet& minimum) const;
};
static_assert(std::is_trivially_copyable_v<WallReport>);

}  // namespace cloister::sandbox
