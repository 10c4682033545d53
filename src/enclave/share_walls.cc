#include "enclave/share_walls.h"

#include <fcntl.h>
#include <linux/capability.h>

#include "sandbox/contain.h"
#include "sandbox/mount_api.h"
#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sandbox/user_namespace.h"

namespace cloister::enclave {

namespace {

constexpr const char* kInside = "/share";
constexpr std::uint64_t kMaxOpenFiles = 1U << 20;  // one per inode that the client's kernel remembers
constexpr std::uint64_t kServerCapabilities = 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH |
                                              1ULL << CAP_FOWNER | 1ULL << CAP_CHOWN | 1ULL << CAP_FSETID;

// The directory as a mount of its own, attached nowhere: ".." from it leads nowhere. A plain handle on it
// would lead to every process of the enclave, out of any root, since the mount of /proc is one of the
// monitor's.
Result<sys::Dir> open_own_descriptors() {
  return sys::Dir(TRY(sandbox::clone_mount(AT_FDCWD, "/proc/self/fd", false)));
}

// In the server's process: root of a user namespace that maps this client's ids alone, in a root that is the
// share alone.
Result<ShareHandles> wall_in(const ShareWalls& place, int control) {
  TRY(sandbox::make_mounts_private());
  ShareHandles handles;
  handles.own_descriptors = TRY(open_own_descriptors().context("/proc/self/fd"));
  sandbox::RootPlan plan;
  plan.devices = false;
  plan.proc = false;
  plan.mounts.push_back({.kind = sandbox::Mount::Kind::bind,
                         .target = kInside,
                         .source = place.share,
                         .read_only = false,
                         .no_exec = true});
  TRY(sandbox::enter_root(TRY(sandbox::assemble_root(plan, place.work_path))));
  sandbox::Walls walls;
  walls.profile = sandbox::Profile::share_server;
  walls.uid = walls.gid = 0;
  walls.capabilities = kServerCapabilities;
  walls.landlock =
      std::vector<sandbox::LandlockRule>{{kInside, sandbox::kRead | sandbox::kWrite | sandbox::kSockets}};
  walls.limits.open_files = kMaxOpenFiles;
  walls.minimum.add(place.required);
  walls.keep_fds = {control, handles.own_descriptors.descriptor()};
  TRY(sandbox::contain(walls));
  handles.root = TRY(sys::Dir::open(kInside));
  return handles;
}

}  // namespace

Result<sys::Child> fork_behind_share_walls(const ShareWalls& walls, int control, const Log& log,
                                           const std::function<int(ShareHandles)>& serve) {
  auto body = [&] {
    auto handles = wall_in(walls, control);
    if (handles) return serve(*std::move(handles));
    log.tagged("share").error("{}", handles.error().message());
    return 1;
  };
  return sandbox::fork_in_user_namespace(body, {{.inside = 0, .outside = walls.owner, .count = kShareIds}},
                                         sandbox::kHelperNamespaces);
}

}  // namespace cloister::enclave
