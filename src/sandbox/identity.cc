#include "sandbox/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace cloister::sandbox {

namespace {

constexpr int kMaxCapability =
    63;  // the kernel's sets have 64 bits; it answers EINVAL beyond its last capability

constexpr unsigned long kLockedBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

struct CapabilitySets {
  std::uint64_t effective = 0;
  std::uint64_t permitted = 0;
  std::uint64_t inheritable = 0;
};

__user_cap_header_struct header_of_self() {
  return {_LINUX_CAPABILITY_VERSION_3, 0};
}

Result<CapabilitySets> capability_sets() {
  auto header = header_of_self();
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return fail_errno("capget");
  auto whole = [](std::uint32_t low, std::uint32_t high) {
    return static_cast<std::uint64_t>(high) << 32 | low;
  };
  return CapabilitySets{whole(data[0].effective, data[1].effective),
                        whole(data[0].permitted, data[1].permitted),
                        whole(data[0].inheritable, data[1].inheritable)};
}

bool bounding_set_within(std::uint64_t keep) {
  for (int capability = 0; capability <= kMaxCapability; ++capability) {
    int held = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held > 0 && (keep >> capability & 1U) == 0) return false;
  }
  return true;
}

bool ambient_set_empty() {
  for (int capability = 0; capability <= kMaxCapability; ++capability) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) > 0) return false;
  }
  return true;
}

Status verify_ids(uid_t uid, gid_t gid) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  if (::getresuid(&r, &e, &s) != 0 || ::getresgid(&rg, &eg, &sg) != 0) return fail_errno("read the ids");
  // setfsuid() with an invalid id changes nothing and answers the current one.
  auto fs_uid = static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1)));
  auto fs_gid = static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1)));
  if (r != uid || e != uid || s != uid || fs_uid != uid)
    return fail(ErrorKind::internal, "the uid is not {}", uid);
  if (rg != gid || eg != gid || sg != gid || fs_gid != gid)
    return fail(ErrorKind::internal, "the gid is not {}", gid);
  if (::getgroups(0, nullptr) != 0) return fail(ErrorKind::internal, "supplementary groups are left");
  return {};
}

}  // namespace

Status drop_bounding_set(std::uint64_t keep) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return fail_errno("clear ambient capabilities");
  // Before the bounding set, because locking needs CAP_SETPCAP, which stays in the permitted set until
  // become().
  if (::prctl(PR_SET_SECUREBITS, kLockedBits, 0, 0, 0) != 0) return fail_errno("lock the securebits");
  for (int capability = 0; capability <= kMaxCapability; ++capability) {
    if ((keep >> capability & 1U) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno != EINVAL) return fail_errno("drop the bounding set");
    break;  // past the kernel's last capability
  }
  return {};
}

Status become(uid_t uid, gid_t gid) {
  if (::setgroups(0, nullptr) != 0) return fail_errno("drop the groups");
  if (::setresgid(gid, gid, gid) != 0) return fail_errno(fmt::format("become gid {}", gid));
  if (::setresuid(uid, uid, uid) != 0) return fail_errno(fmt::format("become uid {}", uid));
  return {};
}

Status set_capabilities(std::uint64_t keep) {
  auto header = header_of_self();
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; ++half) {
    data[half].effective = data[half].permitted = static_cast<std::uint32_t>(keep >> (32 * half));
  }
  if (::syscall(SYS_capset, &header, data) != 0) return fail_errno("set the capabilities");
  return {};
}

Status verify_identity(uid_t uid, gid_t gid, std::uint64_t keep) {
  TRY(verify_ids(uid, gid));
  auto sets = TRY(capability_sets());
  if (sets.effective != keep || sets.permitted != keep || sets.inheritable != 0) {
    return fail(ErrorKind::internal, "the capabilities are not as asked");
  }
  if (!bounding_set_within(keep)) return fail(ErrorKind::internal, "the bounding set holds more than asked");
  if (!ambient_set_empty()) return fail(ErrorKind::internal, "ambient capabilities are left");
  if (uid == 0) return {};
  if (::setresuid(0, 0, 0) == 0 || ::setuid(0) == 0) return fail(ErrorKind::internal, "root can be regained");
  if (gid != 0 && ::setresgid(0, 0, 0) == 0) return fail(ErrorKind::internal, "group root can be regained");
  return {};
}

Status set_no_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("set no_new_privs");
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return fail(ErrorKind::internal, "no_new_privs is not set");
  return {};
}

Status set_not_dumpable() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("clear the dumpable flag");
  if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
    return fail(ErrorKind::internal, "the process is still dumpable");
  return {};
}

Status new_session() {
  if (::setsid() < 0) return fail_errno("start a session");
  return {};
}

Status new_keyring() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0) return {};
  if (errno == ENOSYS) return fail(ErrorKind::unavailable, "kernel without keyrings");
  // The kernel itself never answers EPERM to this: a container's filter does, and it denies the whole call.
  if (errno == EPERM) return fail(ErrorKind::unavailable, "keyrings are denied to everybody here");
  return fail_errno("start a session keyring");
}

Status die_with_parent(pid_t parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return fail_errno("arm the parent's death");
  if (::getppid() != parent) return fail(ErrorKind::system, "the parent is dead");
  return {};
}

}  // namespace cloister::sandbox
