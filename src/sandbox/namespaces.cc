#include "sandbox/namespaces.h"

#include <unistd.h>

#include "sandbox/mount_api.h"

namespace cloister::sandbox {

namespace {

constexpr std::size_t kMaxHostname = 64;  // bytes (HOST_NAME_MAX)

}  // namespace

Status isolate_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare the mount namespace");
  return make_all_private();
}

Status make_mounts_private() {
  return make_all_private();
}

Status isolate_cgroup() {
  if (::unshare(CLONE_NEWCGROUP) != 0) return fail_errno("unshare the cgroup namespace");
  return {};
}

Status set_hostname(const std::string& name) {
  if (name.empty() || name.size() > kMaxHostname) {
    return fail(ErrorKind::invalid, "a host name of {} bytes (1 to {} allowed)", name.size(), kMaxHostname);
  }
  if (::sethostname(name.data(), name.size()) != 0) return fail_errno("set the host name");
  // The NIS domain is the other half of the UTS namespace, copied from the host.
  if (::setdomainname("", 0) != 0) return fail_errno("clear the domain name");
  return {};
}

}  // namespace cloister::sandbox
