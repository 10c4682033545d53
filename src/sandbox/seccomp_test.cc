#include "sandbox/seccomp.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cerrno>
#include <thread>

#include "sandbox/victim.h"
#include "sys/dir.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

constexpr std::uint64_t kGarbage = 0xdeadULL << 32;  // in the half of an int argument that the kernel ignores

int open_socket(std::uint64_t family, int type) {
  return errno_of(::syscall(SYS_socket, family, type, 0));
}

// A child made by clone(2) with these flags ends at once.
int clone_with(std::uint64_t flags) {
  long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  int error = errno_of(pid);
  if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return error;
}

int clone3_plain() {
  clone_args args{};
  args.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) ::_exit(0);
  return errno_of(pid);
}

int read_own_memory_as_a_debugger() {
  int value = 7;
  int copy = 0;
  iovec to{&copy, sizeof copy};
  iovec from{&value, sizeof value};
  return errno_of(::syscall(SYS_process_vm_readv, ::getpid(), &to, 1, &from, 1, 0));
}

int inject_into_terminal(std::uint64_t command) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) return 200;
  char c = 'x';
  return errno_of(::syscall(SYS_ioctl, slave, command, &c));
}

int count_events() {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  return errno_of(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

int set_up_io_uring() {
  char parameters[120] = {};
  return errno_of(::syscall(SYS_io_uring_setup, 1, parameters));
}

int exec_true() {
  char name[] = "/usr/bin/true";
  char* argv[] = {name, nullptr};
  ::execve(name, argv, ::environ);
  return errno;
}

int make_device() {
  std::string path = "/tmp/cloister-device-" + std::to_string(::getpid());
  int error = errno_of(::mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 3)));
  ::unlink(path.c_str());
  return error;
}

struct Case {
  const char* name;
  Attack attack;
  int inside;  // its answer under the job's filters
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class JobFilter : public testing::TestWithParam<Case> {};

TEST_P(JobFilter, StopsWhatWorksOutside) {
  SKIP_UNLESS_ROOT();
  int before = outside(GetParam().attack);
  if (before == ENOSYS || before == EAFNOSUPPORT || before == ENODEV)
    GTEST_SKIP() << "this kernel lacks it anyway";
  EXPECT_EQ(before, 0) << "the attack must work outside";
  EXPECT_EQ(in_profile(Profile::job, GetParam().attack), GetParam().inside);
}

const Case kCases[] = {
    {"inet", [] { return open_socket(AF_INET, SOCK_STREAM); }, EAFNOSUPPORT},
    {"inet_udp", [] { return open_socket(AF_INET, SOCK_DGRAM); }, EAFNOSUPPORT},
    {"inet6", [] { return open_socket(AF_INET6, SOCK_STREAM); }, EAFNOSUPPORT},
    {"inet_garbage", [] { return open_socket(kGarbage | AF_INET, SOCK_STREAM); }, EAFNOSUPPORT},
    {"netlink", [] { return open_socket(AF_NETLINK, SOCK_RAW); }, EAFNOSUPPORT},
    {"packet", [] { return open_socket(AF_PACKET, SOCK_DGRAM); }, EAFNOSUPPORT},
    {"vsock", [] { return open_socket(AF_VSOCK, SOCK_STREAM); }, EAFNOSUPPORT},
    {"vsock_garbage", [] { return open_socket(kGarbage | AF_VSOCK, SOCK_STREAM); }, EAFNOSUPPORT},
    {"unshare_user", [] { return errno_of(::unshare(CLONE_NEWUSER)); }, EPERM},
    {"unshare_mounts", [] { return errno_of(::unshare(CLONE_NEWNS)); }, EPERM},
    {"setns", [] { return errno_of(::setns(::open("/proc/self/ns/mnt", O_RDONLY), 0)); }, EPERM},
    {"clone_mounts", [] { return clone_with(CLONE_NEWNS); }, EPERM},
    {"clone_user", [] { return clone_with(CLONE_NEWUSER); }, EPERM},
    {"clone_pids", [] { return clone_with(CLONE_NEWPID); }, EPERM},
    {"clone_network", [] { return clone_with(CLONE_NEWNET); }, EPERM},
    {"clone_ipc", [] { return clone_with(CLONE_NEWIPC); }, EPERM},
    {"clone_uts", [] { return clone_with(CLONE_NEWUTS); }, EPERM},
    {"clone_cgroup", [] { return clone_with(CLONE_NEWCGROUP); }, EPERM},
    {"clone_all", [] { return clone_with(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET); },
     EPERM},
    {"clone_user_garbage", [] { return clone_with(kGarbage << 16 | CLONE_NEWUSER); }, EPERM},
    {"clone3", clone3_plain, ENOSYS},
    {"mount", [] { return errno_of(::syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, nullptr)); }, EPERM},
    {"new_mount", [] { return errno_of(::syscall(SYS_fsopen, "tmpfs", 0)); }, EPERM},
    {"open_tree", [] { return errno_of(::syscall(SYS_open_tree, AT_FDCWD, "/", 1)); }, EPERM},
    {"chroot", [] { return errno_of(::chroot("/tmp")); }, EPERM},
    {"ptrace", [] { return errno_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }, EPERM},
    {"process_vm", read_own_memory_as_a_debugger, EPERM},
    {"keyctl", [] { return errno_of(::syscall(SYS_keyctl, 0, -3, 1)); }, EPERM},
    {"add_key", [] { return errno_of(::syscall(SYS_add_key, "user", "cloister-test", "x", 1, -2)); }, EPERM},
    {"terminal", [] { return inject_into_terminal(TIOCSTI); }, EPERM},
    {"terminal_garbage", [] { return inject_into_terminal(kGarbage | TIOCSTI); }, EPERM},
    {"perf", count_events, EPERM},
    {"userfaultfd", [] { return errno_of(::syscall(SYS_userfaultfd, O_CLOEXEC)); }, EPERM},
    {"io_uring", set_up_io_uring, ENOSYS},
    {"personality", [] { return errno_of(::personality(ADDR_NO_RANDOMIZE)); }, ENOSYS},
    {"device", make_device, EPERM},
    {"hostname", [] { return errno_of(::unshare(CLONE_NEWUTS)) + errno_of(::sethostname("x", 1)); },
     EPERM + EPERM},
    {"shm", [] { return errno_of(::syscall(SYS_shmget, 0, 4096, 0600)); }, ENOSYS},
};

INSTANTIATE_TEST_SUITE_P(Attacks, JobFilter, testing::ValuesIn(kCases),
                         [](const auto& one) { return std::string(one.param.name); });

// Asked with arguments that the kernel refuses, so that an unfiltered victim does no harm either.
struct Hostile {
  const char* name;
  long number;
};
constexpr Hostile kHostileCalls[] = {{"kexec_load", SYS_kexec_load},
                                     {"init_module", SYS_init_module},
                                     {"finit_module", SYS_finit_module},
                                     {"delete_module", SYS_delete_module},
                                     {"bpf", SYS_bpf},
                                     {"open_by_handle_at", SYS_open_by_handle_at},
                                     {"swapoff", SYS_swapoff}};

TEST(Seccomp, HostileCallsKillInEveryProfile) {
  SKIP_UNLESS_ROOT();
  for (const auto& call : kHostileCalls) {
    auto attack = [&] { return ::syscall(call.number, -1, -1, -1, -1, -1) < 0 ? 1 : 0; };
    EXPECT_EQ(outside(attack), 1) << call.name;
    for (auto profile :
         {Profile::job, Profile::unpacker, Profile::share_server, Profile::listener, Profile::keeper}) {
      EXPECT_EQ(in_profile(profile, attack), kKilledBySeccomp) << call.name << " in " << to_string(profile);
    }
  }
}

TEST(Seccomp, AJobHasUnixSocketsAndNoOtherFamily) {
  SKIP_UNLESS_ROOT();
  auto first_wrong = [] {
    for (int family = 0; family < 128; ++family) {
      for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
        for (std::uint64_t garbage : {std::uint64_t{0}, kGarbage}) {
          errno = 0;
          long fd = ::syscall(SYS_socket, garbage | static_cast<std::uint64_t>(family), type, 0);
          if (fd >= 0) ::close(static_cast<int>(fd));
          bool right = family == AF_UNIX ? fd >= 0 : fd < 0 && errno == EAFNOSUPPORT;
          if (!right) return family + 1;
        }
      }
    }
    return 0;
  };
  EXPECT_NE(outside(first_wrong), 0);
  EXPECT_EQ(in_profile(Profile::job, first_wrong), 0);
}

#ifdef __x86_64__
TEST(Seccomp, OtherArchitecturesKill) {
  SKIP_UNLESS_ROOT();
  auto x32 = [] { return ::syscall(0x40000000 | SYS_getpid) > 0 ? 0 : errno; };
  auto i386 = [] {
    long pid = 20;  // getpid of i386
    asm volatile("int $0x80" : "+a"(pid) : : "memory", "r8", "r9", "r10", "r11");
    return pid > 0 ? 0 : 1;
  };
  for (auto profile : {Profile::job, Profile::unpacker, Profile::keeper}) {
    EXPECT_EQ(in_profile(profile, x32), kKilledBySeccomp);
  }
  int before = outside(i386);
  if (before != 0) GTEST_SKIP() << "a kernel without 32-bit calls";
  EXPECT_EQ(in_profile(Profile::job, i386), kKilledBySeccomp);
}
#endif

TEST(Seccomp, AJobMayDoItsWork) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_profile(Profile::job, exec_true), 0);
  EXPECT_EQ(in_profile(Profile::job, [] { return clone_with(0); }), 0);
  EXPECT_EQ(in_profile(Profile::job, [] { return open_socket(kGarbage | AF_UNIX, SOCK_STREAM); }), 0);
  EXPECT_EQ(in_profile(Profile::job, [] { return errno_of(::memfd_create("x", MFD_CLOEXEC)); }), 0);
  EXPECT_EQ(in_profile(Profile::job, [] { return errno_of(::personality(0xffffffff)); }), 0);
  EXPECT_EQ(in_profile(Profile::job, [] { return errno_of(::mkfifo("/dev/null/x", 0600)); }), ENOTDIR);
  EXPECT_EQ(in_profile(Profile::job,
                       [] {
                         int value = 0;
                         std::thread([&] { value = 1; }).join();
                         return value - 1;
                       }),
            0);
}

TEST(Seccomp, OnlyTheJobStartsPrograms) {
  SKIP_UNLESS_ROOT();
  ASSERT_EQ(outside(exec_true), 0);
  for (auto profile : {Profile::unpacker, Profile::share_server, Profile::listener, Profile::keeper}) {
    EXPECT_EQ(in_profile(profile, exec_true), kKilledBySeccomp) << to_string(profile);
    EXPECT_EQ(in_profile(profile, [] { return clone_with(0); }), ENOSYS) << to_string(profile);
    EXPECT_EQ(in_profile(profile, [] { return errno_of(::unshare(CLONE_NEWUSER)); }), kKilledBySeccomp);
    EXPECT_EQ(in_profile(profile, [] { return errno_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }),
              kKilledBySeccomp);
  }
}

TEST(Seccomp, OnlyTheJobRunsNewCode) {
  SKIP_UNLESS_ROOT();
  auto map_code = [] {
    void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? errno : 0;
  };
  auto turn_into_code = [] {
    void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? 200 : errno_of(::mprotect(at, 4096, PROT_READ | PROT_EXEC));
  };
  EXPECT_EQ(in_profile(Profile::job, map_code), 0);
  EXPECT_EQ(in_profile(Profile::job, turn_into_code), 0);
  for (auto profile : {Profile::unpacker, Profile::share_server, Profile::listener, Profile::keeper}) {
    EXPECT_EQ(in_profile(profile, map_code), EACCES) << to_string(profile);
    EXPECT_EQ(in_profile(profile, turn_into_code), EACCES) << to_string(profile);
  }
}

TEST(Seccomp, ListenerAndKeeperOpenNothingForWriting) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto path = dir.file("target", "whole");
  auto open_with = [&](std::uint64_t flags) {
    return [&path, flags] { return errno_of(::syscall(SYS_openat, AT_FDCWD, path.c_str(), flags, 0600)); };
  };
  for (auto profile : {Profile::listener, Profile::keeper}) {
    EXPECT_EQ(in_profile(profile, open_with(O_RDONLY)), 0);
    for (std::uint64_t flags : {O_WRONLY, O_RDWR, O_CREAT, O_RDONLY | O_TRUNC, O_ACCMODE}) {
      EXPECT_EQ(outside(open_with(flags & ~O_TRUNC)), 0);
      EXPECT_EQ(in_profile(profile, open_with(flags)), EACCES) << to_string(profile) << " flags " << flags;
      EXPECT_EQ(in_profile(profile, open_with(kGarbage | flags)), EACCES)
          << to_string(profile) << " flags " << flags;
    }
    auto temporary = [&] { return errno_of(::open(dir.path().c_str(), O_TMPFILE | O_RDWR, 0600)); };
    EXPECT_EQ(in_profile(profile, temporary), EACCES);
    EXPECT_EQ(in_profile(profile, [&] { return errno_of(::mkdir((dir.path() + "/d").c_str(), 0700)); }),
              ENOSYS);
  }
  EXPECT_EQ(read_text(path), "whole");
}

TEST(Seccomp, OnlyTheKeeperConnects) {
  SKIP_UNLESS_ROOT();
  auto inet = [] { return open_socket(AF_INET, SOCK_STREAM); };
  auto vsock = [] { return open_socket(AF_VSOCK, SOCK_STREAM); };
  auto netlink = [] { return open_socket(AF_NETLINK, SOCK_RAW); };
  EXPECT_EQ(in_profile(Profile::keeper, inet), 0);
  if (outside(vsock) == 0) {
    EXPECT_EQ(in_profile(Profile::keeper, vsock), 0);
  }
  EXPECT_EQ(in_profile(Profile::keeper, netlink), EAFNOSUPPORT);
  for (auto profile : {Profile::unpacker, Profile::share_server, Profile::listener}) {
    EXPECT_NE(in_profile(profile, inet), 0) << to_string(profile);
    EXPECT_NE(in_profile(profile, [] { return open_socket(AF_UNIX, SOCK_STREAM); }), 0) << to_string(profile);
  }
}

TEST(Seccomp, ServersHaveThreadsAndTheUnpackerHasNone) {
  SKIP_UNLESS_ROOT();
  auto start_thread = [] {
    pthread_t thread;
    int error = ::pthread_create(&thread, nullptr, [](void* argument) { return argument; }, nullptr);
    return error != 0 ? 1 : ::pthread_join(thread, nullptr);
  };
  for (auto profile : {Profile::share_server, Profile::listener, Profile::keeper}) {
    EXPECT_EQ(in_profile(profile, start_thread), 0) << to_string(profile);
  }
  EXPECT_EQ(in_profile(Profile::unpacker, start_thread), 1);
}

TEST(Seccomp, TheUnpackerAndTheShareServerWriteFilesButNoDevices) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto write_below = [&] {
    auto root = sys::Dir::open(dir.path());
    if (!root || !root->make_dir("sub", 0700)) return 1;
    auto file = root->open_at("sub/file", O_CREAT | O_WRONLY, 0600);
    if (!file || ::write(file->get(), "x", 1) != 1) return 2;
    return ::symlinkat("file", root->descriptor(), "link") == 0 &&
                   ::unlinkat(root->descriptor(), "link", 0) == 0
               ? 0
               : 3;
  };
  EXPECT_EQ(in_profile(Profile::unpacker, write_below), 0);
  EXPECT_EQ(in_profile(Profile::share_server, write_below), 0);
  ASSERT_EQ(outside(make_device), 0);
  EXPECT_EQ(in_profile(Profile::share_server, make_device), EPERM);
  EXPECT_EQ(in_profile(Profile::unpacker, make_device), ENOSYS);
}

// A limit of the process is not a call that our own processes change.
TEST(Seccomp, ServersReadTheirLimitsAndKeepThem) {
  SKIP_UNLESS_ROOT();
  rlimit limit{};
  auto read = [&] { return errno_of(::getrlimit(RLIMIT_NOFILE, &limit)); };
  auto change = [&] {
    return errno_of(::getrlimit(RLIMIT_NOFILE, &limit)) + errno_of(::setrlimit(RLIMIT_NOFILE, &limit));
  };
  EXPECT_EQ(in_profile(Profile::listener, read), 0);
  EXPECT_EQ(outside(change), 0);
  EXPECT_EQ(in_profile(Profile::listener, change), ENOSYS);
}

}  // namespace
}  // namespace cloister::sandbox
