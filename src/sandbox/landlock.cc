#include "sandbox/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sys/fd.h"

namespace cloister::sandbox {

namespace {

// The kernel's interface, which older headers have in part: <linux/landlock.h> of Linux 6.12.
struct RulesetAttributes {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;  // ABI 4
  std::uint64_t scoped = 0;              // ABI 6
};
constexpr std::uint64_t kFsV1 = (1ULL << 13) - 1;  // execute … make_sym
constexpr std::uint64_t kRefer = 1ULL << 13;
constexpr std::uint64_t kTruncate = 1ULL << 14;
constexpr std::uint64_t kIoctlDevice = 1ULL << 15;
constexpr std::uint64_t kTcp = 3;     // bind, connect
constexpr std::uint64_t kScopes = 3;  // abstract unix sockets, signals
constexpr std::size_t kSizeV1 = 8;    // bytes of RulesetAttributes that the ABI knows
constexpr std::size_t kSizeV4 = 16;
constexpr std::size_t kSizeV6 = 24;

constexpr std::uint64_t kExecuteBits = LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kReadBits = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// No MAKE_CHAR, no MAKE_BLOCK, no IOCTL_DEV: granted to nobody.
constexpr std::uint64_t kWriteBits = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                     LANDLOCK_ACCESS_FS_MAKE_SYM | kRefer | kTruncate;
// What a rule on a single file may say; the kernel refuses the rest.
constexpr std::uint64_t kFileBits =
    kExecuteBits | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | kTruncate;

std::uint64_t fs_bits_of(int abi) {
  std::uint64_t bits = kFsV1;
  if (abi >= 2) bits |= kRefer;
  if (abi >= 3) bits |= kTruncate;
  if (abi >= 5) bits |= kIoctlDevice;
  return bits;
}

std::size_t size_of(int abi) {
  return abi >= 6 ? kSizeV6 : abi >= 4 ? kSizeV4 : kSizeV1;
}

Result<sys::Fd> make_ruleset(int abi, const LandlockOptions& options) {
  RulesetAttributes attributes;
  attributes.handled_access_fs = fs_bits_of(abi);
  attributes.handled_access_net = options.allow_tcp ? 0 : kTcp;
  attributes.scoped = kScopes;
  long fd = ::syscall(SYS_landlock_create_ruleset, &attributes, size_of(abi), 0);
  if (fd < 0) return fail_errno("create a Landlock ruleset");
  return sys::Fd(static_cast<int>(fd));
}

std::uint64_t bits_of(unsigned access) {
  return ((access & kRead) != 0 ? kReadBits : 0) | ((access & kWrite) != 0 ? kWriteBits : 0) |
         ((access & kExecute) != 0 ? kExecuteBits : 0) |
         ((access & kSockets) != 0 ? LANDLOCK_ACCESS_FS_MAKE_SOCK : 0);
}

Status add_rule(int ruleset, const LandlockRule& rule, std::uint64_t handled) {
  sys::Fd path(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
  if (!path) return fail_errno(rule.path);
  struct stat info{};
  if (::fstat(path.get(), &info) != 0) return fail_errno(rule.path);
  landlock_path_beneath_attr attributes{};
  attributes.allowed_access = bits_of(rule.access) & handled;
  if (!S_ISDIR(info.st_mode)) attributes.allowed_access &= kFileBits;
  if (attributes.allowed_access == 0)
    return fail(ErrorKind::invalid, "{}: a rule that allows nothing", rule.path);
  attributes.parent_fd = path.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attributes, 0) != 0) {
    return fail_errno(rule.path);
  }
  return {};
}

}  // namespace

int landlock_abi() {
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

Result<int> restrict_paths(const std::vector<LandlockRule>& rules, const LandlockOptions& options) {
  int abi = landlock_abi();
  if (abi == 0) return fail(ErrorKind::unavailable, "kernel without Landlock");
  auto ruleset = TRY(make_ruleset(abi, options));
  for (const auto& rule : rules) {
    TRY(add_rule(ruleset.get(), rule, fs_bits_of(abi)).context("a Landlock rule"));
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    return fail_errno("apply the Landlock ruleset");
  return abi;
}

}  // namespace cloister::sandbox
