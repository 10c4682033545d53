#include "sandbox/seccomp_policy.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

namespace cloister::sandbox {

namespace {

constexpr std::uint64_t kInt = 0xffffffff;
constexpr std::uint64_t kPointer = ~0ULL;

constexpr Condition bits_set(unsigned argument, std::uint64_t bits) {
  return {argument, bits, bits};
}
constexpr Condition equals(unsigned argument, std::uint64_t value) {
  return {argument, kInt, value};
}
constexpr Condition is_null(unsigned argument) {
  return {argument, kPointer, 0};
}

// Memory, and descriptors that one already has.
constexpr const char* kCore[] = {
    "brk",   "mmap",   "munmap", "mremap",      "mprotect", "madvise",  "read",  "readv",
    "write", "writev", "close",  "close_range", "fstat",    "fcntl",    "lseek", "dup",
    "dup2",  "dup3",   "poll",   "ppoll",       "select",   "pselect6",
};

// Signals, locks, time, exit, and who one is.
constexpr const char* kBasics[] = {
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "restart_syscall",
    "futex",
    "futex_waitv",
    "set_robust_list",
    "set_tid_address",
    "rseq",
    "membarrier",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "tgkill",
    "exit",
    "exit_group",
    "time",
    "gettimeofday",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "getrandom",
    "uname",
    "sysinfo",
    "getrusage",
    "times",
};

// Threads of our own processes. A clone without CLONE_THREAD would be a fork.
constexpr AllowedUse kThreads[] = {
    {"clone", bits_set(0, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)},
    {"prctl", equals(0, PR_SET_NAME)},
    {"prctl", equals(0, PR_GET_NAME)},
    {"prlimit64", is_null(2)},  // reading limits: glibc sizes stacks by them
};

// Talking on sockets, and waiting for them.
constexpr const char* kTalk[] = {
    "accept",          "accept4",         "recvfrom",    "recvmsg",    "sendto",     "sendmsg",
    "shutdown",        "getsockname",     "getpeername", "getsockopt", "setsockopt", "epoll_create1",
    "epoll_ctl",       "epoll_wait",      "epoll_pwait", "eventfd2",   "pipe2",      "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "signalfd4",
};

// Messages on a socket that is there.
constexpr const char* kMessages[] = {"recvmsg", "sendmsg"};

// Looking at files. Opening for writing is refused beside this where a process must not.
constexpr const char* kReadFiles[] = {
    "open",   "openat",     "pread64",    "preadv", "preadv2",   "getdents64", "stat",
    "lstat",  "newfstatat", "statx",      "statfs", "fstatfs",   "readlink",   "readlinkat",
    "access", "faccessat",  "faccessat2", "getcwd", "fadvise64", "readahead",
};

// Making and changing files below a directory handle.
constexpr const char* kWriteFiles[] = {
    "openat2",   "pwrite64", "pwritev",   "pwritev2",  "ftruncate", "fallocate", "fsync",
    "fdatasync", "mkdirat",  "unlinkat",  "symlinkat", "linkat",    "fchmod",    "fchmodat",
    "fchown",    "fchownat", "utimensat", "umask",     "renameat",  "renameat2",
};

// Attributes, locks, copies and watches.
constexpr const char* kXattrs[] = {
    "getxattr",  "lgetxattr",  "fgetxattr",  "setxattr",    "lsetxattr",    "fsetxattr",
    "listxattr", "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr",
};

constexpr const char* kMoreFiles[] = {
    "flock",   "copy_file_range", "sync_file_range",   "syncfs",           "splice", "sendfile", "fchdir",
    "mknodat", "inotify_init1",   "inotify_add_watch", "inotify_rm_watch",
};

constexpr const char* kConnect[] = {"socket", "socketpair", "connect"};
constexpr AllowedUse kNsm[] = {
    {"ioctl", equals(1, 0xc0200a00)},  // on /dev/nsm: _IOWR(0x0a, 0, a struct of two iovecs)
};

// Everything else that interpreters, native programs, threads and a shell need. First, processes.
constexpr const char* kProcesses[] = {
    "clone",
    "fork",
    "vfork",
    "execve",
    "wait4",
    "waitid",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_open",
    "pidfd_send_signal",
    "getpgid",
    "setpgid",
    "getpgrp",
    "getsid",
    "setsid",
    "prctl",
    "arch_prctl",
    "prlimit64",
    "getrlimit",
    "setrlimit",
    "getpriority",
    "setpriority",
    "ioprio_get",
    "ioprio_set",
    "sched_setaffinity",
    "sched_getparam",
    "sched_setparam",
    "sched_getscheduler",
    "sched_setscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getattr",
    "sched_setattr",
    "sched_rr_get_interval",
    "get_robust_list",
};

// Asking who one is, and changes to what one already is: no capability is left for more.
constexpr const char* kIds[] = {
    "getresuid", "getresgid", "getgroups", "setuid",   "setgid",    "setreuid", "setregid",
    "setresuid", "setresgid", "setfsuid",  "setfsgid", "setgroups", "capget",   "capset",
};

constexpr const char* kMemory[] = {
    "msync",         "mincore",    "mlock",        "mlock2",        "munlock",
    "mlockall",      "munlockall", "memfd_create", "mbind",         "get_mempolicy",
    "set_mempolicy", "pkey_alloc", "pkey_free",    "pkey_mprotect", "remap_file_pages",
};

constexpr const char* kTimers[] = {
    "alarm",         "pause",         "getitimer",        "setitimer",    "timer_create",
    "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete",
};

// Files by path.
constexpr const char* kAllFiles[] = {
    "ioctl",   "creat",  "pipe",      "chdir", "getdents", "truncate", "rename",       "link",
    "symlink", "unlink", "mkdir",     "rmdir", "mknod",    "chmod",    "chown",        "lchown",
    "utime",   "utimes", "futimesat", "sync",  "tee",      "vmsplice", "inotify_init",
};

// The asynchronous I/O of older programs, and giving up paths.
constexpr const char* kAsyncIo[] = {
    "io_setup",
    "io_submit",
    "io_getevents",
    "io_pgetevents",
    "io_cancel",
    "io_destroy",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
};

constexpr const char* kSockets[] = {
    "socket",   "socketpair",   "connect",      "bind",    "listen",   "sendmmsg",
    "recvmmsg", "epoll_create", "epoll_pwait2", "eventfd", "signalfd",
};

constexpr AllowedUse kPersonality[] = {
    {"personality", equals(0, 0xffffffff)},  // only the question
    {"personality", equals(0, 0)},
};

// Refused uses. No namespaces (CLONE_NEWTIME overlaps the signal and works with clone3 only), no devices, no
// terminal tricks.
constexpr RefusedUse kJobRefused[] = {
    {"clone", bits_set(0, CLONE_NEWNS), EPERM},     {"clone", bits_set(0, CLONE_NEWUSER), EPERM},
    {"clone", bits_set(0, CLONE_NEWPID), EPERM},    {"clone", bits_set(0, CLONE_NEWNET), EPERM},
    {"clone", bits_set(0, CLONE_NEWIPC), EPERM},    {"clone", bits_set(0, CLONE_NEWUTS), EPERM},
    {"clone", bits_set(0, CLONE_NEWCGROUP), EPERM}, {"clone", bits_set(0, CLONE_PTRACE), EPERM},
    {"ioctl", equals(1, TIOCSTI), EPERM},           {"ioctl", equals(1, TIOCSETD), EPERM},
    {"ioctl", equals(1, TIOCCONS), EPERM},          {"ioctl", equals(1, TIOCLINUX), EPERM},
    {"mknod", {1, S_IFMT, S_IFCHR}, EPERM},         {"mknod", {1, S_IFMT, S_IFBLK}, EPERM},
    {"mknodat", {2, S_IFMT, S_IFCHR}, EPERM},       {"mknodat", {2, S_IFMT, S_IFBLK}, EPERM},
};

constexpr RefusedUse kServerRefused[] = {
    {"mknodat", {2, S_IFMT, S_IFCHR}, EPERM},
    {"mknodat", {2, S_IFMT, S_IFBLK}, EPERM},
};

// Our own processes run the code they were linked with, and no other.
constexpr RefusedUse kNoNewCode[] = {
    {"mmap", bits_set(2, PROT_EXEC), EACCES},
    {"mprotect", bits_set(2, PROT_EXEC), EACCES},
};

constexpr std::uint64_t kTmpfileBit = O_TMPFILE & ~O_DIRECTORY;
constexpr RefusedUse kNoWriting[] = {
    {"open", bits_set(1, O_WRONLY), EACCES},    {"open", bits_set(1, O_RDWR), EACCES},
    {"open", bits_set(1, O_CREAT), EACCES},     {"open", bits_set(1, O_TRUNC), EACCES},
    {"open", bits_set(1, kTmpfileBit), EACCES}, {"openat", bits_set(2, O_WRONLY), EACCES},
    {"openat", bits_set(2, O_RDWR), EACCES},    {"openat", bits_set(2, O_CREAT), EACCES},
    {"openat", bits_set(2, O_TRUNC), EACCES},   {"openat", bits_set(2, kTmpfileBit), EACCES},
};

// What only an attacker of the kernel tries from in here.
constexpr const char* kHostile[] = {
    "kexec_load",    "kexec_file_load",
    "init_module",   "finit_module",
    "delete_module", "create_module",
    "reboot",        "swapon",
    "swapoff",       "iopl",
    "ioperm",        "bpf",
    "modify_ldt",    "acct",
    "vm86",          "vm86old",
    "nfsservctl",    "open_by_handle_at",
};

constexpr const char* kForbidden[] = {
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "add_key",
    "request_key",
    "keyctl",
    "perf_event_open",
    "userfaultfd",
    "fanotify_init",
    "fanotify_mark",
    "syslog",
    "quotactl",
    "quotactl_fd",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "migrate_pages",
    "move_pages",
    "vhangup",
    "lookup_dcookie",
};

// Our own processes start no program and no process.
constexpr const char* kForbiddenToUs[] = {"execve", "execveat",     "fork",
                                          "vfork",  "memfd_create", "io_uring_setup"};

template <std::size_t A, std::size_t B>
constexpr auto join(const char* const (&a)[A], const char* const (&b)[B]) {
  std::array<const char*, A + B> out{};
  for (std::size_t i = 0; i < A; ++i) out[i] = a[i];
  for (std::size_t i = 0; i < B; ++i) out[A + i] = b[i];
  return out;
}
constexpr auto kForbiddenOfOurs = join(kForbidden, kForbiddenToUs);

using Names = std::span<const char* const>;
using Uses = std::span<const AllowedUse>;
using Refused = std::span<const RefusedUse>;

constexpr Names kJobCalls[] = {kCore,   kBasics, kTalk,   kReadFiles, kWriteFiles, kProcesses, kIds,
                               kMemory, kTimers, kXattrs, kMoreFiles, kAllFiles,   kAsyncIo,   kSockets};
constexpr Names kUnpackerCalls[] = {kCore, kBasics, kReadFiles, kWriteFiles};
constexpr Names kShareServerCalls[] = {kCore, kBasics, kTalk, kReadFiles, kWriteFiles, kXattrs, kMoreFiles};
constexpr Names kListenerCalls[] = {kCore, kBasics, kTalk, kReadFiles};
constexpr Names kModuleCalls[] = {kCore, kBasics, kMessages};
constexpr Names kKeeperCalls[] = {kCore, kBasics, kTalk, kReadFiles, kConnect};

constexpr Uses kJobAllowed[] = {kPersonality};
constexpr Uses kThreaded[] = {kThreads};
constexpr Uses kModuleAllowed[] = {kNsm};

constexpr Refused kJobRefusals[] = {kJobRefused};
constexpr Refused kUnpackerRefusals[] = {kNoNewCode};
constexpr Refused kServerRefusals[] = {kNoNewCode, kServerRefused};
constexpr Refused kModuleRefusals[] = {kNoNewCode};
constexpr Refused kReaderRefusals[] = {kNoNewCode, kNoWriting};

constexpr int kUnixOnly[] = {AF_UNIX};
constexpr int kKeeperFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_VSOCK};

constexpr Policy kJob = {kJobCalls, kJobAllowed, kJobRefusals, kUnixOnly, kHostile, kForbidden, false};
constexpr Policy kUnpacker = {kUnpackerCalls, {}, kUnpackerRefusals, {}, kHostile, kForbiddenOfOurs, true};
constexpr Policy kShareServer = {kShareServerCalls, kThreaded, kServerRefusals, {}, kHostile,
                                 kForbiddenOfOurs,  true};
constexpr Policy kListener = {kListenerCalls,   kThreaded, kReaderRefusals, {}, kHostile,
                              kForbiddenOfOurs, true};
constexpr Policy kKeeper = {kKeeperCalls,     kThreaded, kReaderRefusals, kKeeperFamilies, kHostile,
                            kForbiddenOfOurs, true};

constexpr Policy kModule = {kModuleCalls, kModuleAllowed, kModuleRefusals, {}, kHostile, kForbiddenOfOurs,
                            true};

}  // namespace

const Policy& policy_of(Profile profile) {
  switch (profile) {
    case Profile::job:
      return kJob;
    case Profile::unpacker:
      return kUnpacker;
    case Profile::share_server:
      return kShareServer;
    case Profile::listener:
      return kListener;
    case Profile::keeper:
      return kKeeper;
    case Profile::module:
      return kModule;
  }
  return kUnpacker;
}

}  // namespace cloister::sandbox
