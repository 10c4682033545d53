#include "sandbox/contain.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox/identity.h"

namespace cloister::sandbox {

namespace {

struct Context {
  const Walls& walls;
  pid_t parent;  // at the start, before a change of ids disarmed its death
};

using Note = Result<std::string>;

Note build_session(const Context&) {
  TRY(new_session());
  return "";
}

Note build_keyring(const Context&) {
  TRY(new_keyring());
  return "";
}

Status close_range(unsigned first, unsigned last) {
  if (first <= last && ::syscall(SYS_close_range, first, last, 0) != 0) return fail_errno("close_range");
  return {};
}

// Also checks that 0, 1 and 2 are open: else the next file opened would pass for the standard output.
Note build_descriptors(const Context& context) {
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) return fail_errno(fmt::format("descriptor {}", fd));
  }
  auto keep = context.walls.keep_fds;
  std::sort(keep.begin(), keep.end());
  unsigned from = 3;
  for (int fd : keep) {
    if (fd < static_cast<int>(from)) continue;
    if (::fcntl(fd, F_GETFD) < 0) return fail_errno(fmt::format("descriptor {} to keep", fd));
    TRY(close_range(from, static_cast<unsigned>(fd) - 1));
    from = static_cast<unsigned>(fd) + 1;
  }
  TRY(close_range(from, ~0U));
  return "";
}

Note build_limits(const Context& context) {
  TRY(apply_limits(context.walls.limits));
  return context.walls.limits.data_bytes ? "memory per process" : "";
}

Note build_capabilities(const Context& context) {
  if (context.walls.capabilities != 0 && context.walls.uid != 0) {
    return fail(ErrorKind::invalid, "capabilities for a uid other than 0");
  }
  TRY(drop_bounding_set(context.walls.capabilities));
  return "";
}

Note build_identity(const Context& context) {
  const auto& walls = context.walls;
  TRY(become(walls.uid, walls.gid));
  TRY(set_capabilities(walls.capabilities));
  TRY(verify_identity(walls.uid, walls.gid, walls.capabilities));
  return fmt::format("uid {} gid {}", walls.uid, walls.gid);
}

Note build_parent_death(const Context& context) {
  TRY(die_with_parent(context.parent));
  return "";
}

Note build_no_new_privileges(const Context&) {
  TRY(set_no_new_privileges());
  return "";
}

Note build_landlock(const Context& context) {
  const auto& walls = context.walls;
  int abi = TRY(restrict_paths(*walls.landlock, {.allow_tcp = walls.landlock_tcp}));
  return fmt::format("ABI {}", abi);
}

Note build_dumpable(const Context&) {
  TRY(set_not_dumpable());
  return "";
}

Note build_seccomp(const Context& context) {
  TRY(load_seccomp(context.walls.profile));
  return std::string(to_string(context.walls.profile));
}

struct Row {
  Wall wall;
  Note (*build)(const Context&);
};

// The order matters: what needs root comes before the identity, the parent's death after it (a change of ids
// disarms it), no_new_privs before Landlock and seccomp (which need it), and seccomp last, for it forbids
// most of the rest.
constexpr Row kRows[] = {
    {Wall::session, build_session},           {Wall::keyring, build_keyring},
    {Wall::descriptors, build_descriptors},   {Wall::limits, build_limits},
    {Wall::capabilities, build_capabilities}, {Wall::identity, build_identity},
    {Wall::parent_death, build_parent_death}, {Wall::no_new_privileges, build_no_new_privileges},
    {Wall::landlock, build_landlock},         {Wall::dumpable, build_dumpable},
    {Wall::seccomp, build_seccomp},
};

bool is_row(Wall wall) {
  return std::any_of(std::begin(kRows), std::end(kRows), [&](const Row& row) { return row.wall == wall; });
}

// The part of the minimum that is ours to answer for.
WallSet own_minimum(const WallSet& minimum) {
  WallSet own;
  for (std::size_t i = 0; i < kWallCount; ++i) {
    auto wall = static_cast<Wall>(i);
    if (minimum.has(wall) && is_row(wall)) own.add(wall);
  }
  return own;
}

}  // namespace

Result<WallReport> contain(const Walls& walls) {
  Context context{walls, ::getppid()};
  WallReport report;
  for (const auto& row : kRows) {
    if (row.wall == Wall::landlock && !walls.landlock) continue;
    auto note = row.build(context);
    if (note) {
      report.hold(row.wall, *note);
    } else if (note.error().kind() == ErrorKind::unavailable && !walls.minimum.has(row.wall)) {
      report.lack(row.wall, note.error().message());
    } else {
      return std::unexpected(std::move(note).error().context(fmt::format("wall {}", to_string(row.wall))));
    }
  }
  TRY(report.require(own_minimum(walls.minimum)));
  return report;
}

}  // namespace cloister::sandbox
