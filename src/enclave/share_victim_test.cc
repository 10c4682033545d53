// The share server as a victim: an attacker's code in its place, behind exactly its walls. Each attack runs
// without walls too, as root, where it has to work: one that works nowhere proves nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "enclave/share_walls.h"
#include "enclave/shares.h"
#include "sandbox/identity.h"
#include "sandbox/mount_api.h"
#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sys/file.h"

namespace cloister::enclave {
namespace {

constexpr int kHarnessFailed = 250;
constexpr int kRefused = 249;  // where a system call's errno says nothing
constexpr std::string_view kSecret = "another client's data";
char g_memory[] = "a key in another process";  // of the harness: the attacker knows its address

int errno_of(long result) {
  return result < 0 ? errno : 0;
}

// A file_handle(2) with its bytes.
struct FileHandle {
  file_handle head{};
  std::array<char, MAX_HANDLE_SZ> bytes{};
  int name(int directory, const char* file) {
    int mount = 0;
    head.handle_bytes = MAX_HANDLE_SZ;
    return errno_of(::name_to_handle_at(directory, file, &head, &mount, 0));
  }
};

// What the attacker knows of the machine around it.
struct World {
  ShareHandles handles;
  std::string base;  // shares/0 is its own; shares/1 and package are not; listener is a socket
  pid_t neighbour = 0;
  FileHandle known;  // of shares/0/own
};
using Attack = std::function<int(const World&)>;  // 0: it worked

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "harness: %s\n", status.error().message().c_str());
  ::_exit(kHarnessFailed);
}

template <class T>
T must_get(Result<T> result) {
  if (!result) must(std::unexpected(std::move(result).error()));
  return *std::move(result);
}

void furnish(const std::string& base) {
  must(sandbox::attach_mount(must_get(sandbox::make_tmpfs({.size_bytes = 1 << 20, .mode = 0755}, true)).get(),
                             base));
  for (auto name : {"/work", "/shares", "/shares/0", "/shares/1", "/package"})
    must(sys::make_directories(base + name, 0755));
  for (uid_t slot : {0U, 1U}) {
    uid_t owner = kFirstShareUser + slot * kShareIds;
    auto tmpfs = must_get(
        sandbox::make_tmpfs({.size_bytes = 1 << 20, .mode = 0755, .uid = owner, .gid = owner}, true));
    must(sandbox::attach_mount(tmpfs.get(), base + "/shares/" + std::to_string(slot)));
  }
  for (auto path : {"/shares/1/secret", "/package/secret", "/shares/0/own"}) {
    sys::Fd file(::open((base + path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    must(sys::write_all(file.get(), as_bytes(kSecret), path));
    ::fchmod(file.get(), 0666);  // nothing but the walls is to stand in the way
  }
}

sys::Fd listen_at(const std::string& path) {
  sys::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 4) != 0 || ::chmod(path.c_str(), 0777) != 0)
    must(fail_errno("listen"));
  return fd;
}

int wait_for(Result<sys::Child> child) {
  if (!child) must(std::unexpected(std::move(child).error()));
  auto status = child->wait(sys::Deadline::after(sys::seconds(20)));
  return status ? status->shell_code() : kHarnessFailed;
}

enum class Where { behind_walls, outside };

// What the attack answers there; 128 + n if signal n ended it.
int run(Where where, const Attack& attack) {
  auto harness = [&] {
    must(sandbox::isolate_mounts());
    std::string base = "/tmp/cloister-victim-XXXXXX";
    if (::mkdtemp(base.data()) == nullptr) must(fail_errno(base));
    furnish(base);
    auto listener = listen_at(base + "/listener");
    auto channel = must_get(sys::make_socket_pair(SOCK_SEQPACKET));
    World world{.handles = {}, .base = base, .neighbour = ::getpid(), .known = {}};
    if (world.known.name(AT_FDCWD, (base + "/shares/0/own").c_str()) != 0)
      must(fail_errno("a file's handle"));
    auto body = [&](ShareHandles handles) {
      world.handles = std::move(handles);
      return attack(world);
    };
    Log log(2, "victim");
    ShareWalls walls{
        .share = base + "/shares/0", .work_path = base + "/work", .owner = kFirstShareUser, .required = {}};
    int code = where == Where::behind_walls
                   ? wait_for(fork_behind_share_walls(walls, channel.second.get(), log, body))
                   : wait_for(sys::fork_child([&] {
                       return body({must_get(sys::Dir::open(walls.share)),
                                    must_get(sys::Dir::open("/proc/self/fd"))});
                     }));
    must(sandbox::detach(base));
    std::filesystem::remove(base);
    return code;
  };
  return wait_for(sys::fork_child(harness));
}

class ShareVictimTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: it builds namespaces and mounts";
  }
  static void fails_only_behind_walls(const char* what, const Attack& attack) {
    EXPECT_EQ(run(Where::outside, attack), 0) << what << ": works nowhere, so it proves nothing";
    fails_behind_walls(what, attack);
  }
  static void fails_behind_walls(const char* what, const Attack& attack) {
    int code = run(Where::behind_walls, attack);
    EXPECT_NE(code, 0) << what;
    EXPECT_NE(code, kHarnessFailed) << what;
  }
};

// Whether a file is there, has content that can be had, or can be changed: each is more than it may know.
int reach(int directory, const std::string& path) {
  struct stat info{};
  if (::fstatat(directory, path.c_str(), &info, 0) == 0) return 0;
  int error = errno;
  if (::openat(directory, path.c_str(), O_PATH) >= 0 || ::openat(directory, path.c_str(), O_RDONLY) >= 0)
    return 0;
  if (::fchmodat(directory, path.c_str(), 0777, 0) == 0) return 0;
  return error;
}

// Climbs from a handle as far as ".." leads, and looks for the path from every height.
int climb(int directory, const std::string& path) {
  std::string up;
  int error = ENOENT;
  for (int height = 0; height < 12; ++height) {
    error = reach(directory, up + path.substr(1));
    if (error == 0) return 0;
    up += "../";
  }
  return error;
}

TEST_F(ShareVictimTest, TheWallsStandAndTheShareIsServed) {
  EXPECT_EQ(run(Where::behind_walls,
                [](const World& world) {
                  sys::Fd file(
                      ::openat(world.handles.root.descriptor(), "made", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
                  if (!file || ::fchown(file.get(), 1000, 1000) != 0) return 1;
                  // What the server does with every file: open it again by its own descriptor.
                  auto name = std::to_string(file.get());
                  if (::openat(world.handles.own_descriptors.descriptor(), name.c_str(), O_RDONLY) < 0)
                    return 2;
                  return reach(world.handles.root.descriptor(), "own") == 0 ? 0 : 3;
                }),
            0);
}

TEST_F(ShareVictimTest, NoPathLeadsOut) {
  for (const char* secret : {"/shares/1/secret", "/package/secret", "/listener"}) {
    fails_only_behind_walls(secret, [&](const World& world) { return reach(AT_FDCWD, world.base + secret); });
    fails_only_behind_walls("from the share's root", [&](const World& world) {
      return climb(world.handles.root.descriptor(), world.base + secret);
    });
    fails_only_behind_walls("from the handle on its own descriptors", [&](const World& world) {
      return climb(world.handles.own_descriptors.descriptor(), world.base + secret);
    });
  }
  for (const char* path : {"/proc/self", "/proc/1/environ", "/dev/null", "/sys/kernel", "/etc/passwd"})
    fails_only_behind_walls(path, [&](const World&) { return reach(AT_FDCWD, path); });
  fails_behind_walls("/dev/nsm", [](const World& world) {
    int error = reach(AT_FDCWD, "/dev/nsm");
    return error == 0 ? 0 : climb(world.handles.own_descriptors.descriptor(), "/dev/nsm");
  });
}

TEST_F(ShareVictimTest, NoOtherProcessShows) {
  auto see = [](const World& world, const std::string& file) {
    auto name = std::to_string(world.neighbour) + file;
    for (const char* from : {"", "../", "../../", "../../../proc/"}) {
      if (reach(world.handles.own_descriptors.descriptor(), from + name) == 0) return 0;
    }
    return reach(AT_FDCWD, "/proc/" + name);
  };
  for (const char* file : {"", "/environ", "/mem", "/root", "/maps"})
    fails_only_behind_walls(file, [&](const World& world) { return see(world, file); });
  // Nor more of itself than its descriptors: in /proc, limits and ids are written as well as read.
  for (const char* file : {"../status", "../uid_map", "../mem", "../task", "../attr/current"})
    fails_only_behind_walls(
        file, [&](const World& world) { return reach(world.handles.own_descriptors.descriptor(), file); });
}

TEST_F(ShareVictimTest, NoHandleIsMadeOrOpensAFile) {
  fails_only_behind_walls("name_to_handle_at", [](const World& world) {
    FileHandle handle;
    return handle.name(world.handles.root.descriptor(), "own");
  });
  fails_only_behind_walls("open_by_handle_at", [](const World& world) {
    auto known = world.known;
    return errno_of(::open_by_handle_at(world.handles.root.descriptor(), &known.head, O_RDONLY));
  });
}

TEST_F(ShareVictimTest, NoMemoryOfOthersIsRead) {
  fails_only_behind_walls("ptrace", [](const World& world) {
    return errno_of(::ptrace(PTRACE_SEIZE, world.neighbour, nullptr, nullptr));
  });
  fails_only_behind_walls("process_vm_readv", [](const World& world) {
    char copy[sizeof g_memory]{};
    iovec to{copy, sizeof copy};
    iovec from{g_memory, sizeof g_memory};
    return errno_of(::process_vm_readv(world.neighbour, &to, 1, &from, 1, 0));
  });
  fails_only_behind_walls("pidfd_getfd", [](const World& world) {
    long pidfd = ::syscall(SYS_pidfd_open, world.neighbour, 0);
    if (pidfd < 0) return errno;
    return errno_of(::syscall(SYS_pidfd_getfd, pidfd, 2, 0));
  });
}

TEST_F(ShareVictimTest, NoSignalReachesOthers) {
  fails_only_behind_walls("kill", [](const World& world) { return errno_of(::kill(world.neighbour, 0)); });
  fails_only_behind_walls("tgkill", [](const World& world) {
    return errno_of(::syscall(SYS_tgkill, world.neighbour, world.neighbour, 0));
  });
  fails_only_behind_walls("kill all", [](const World&) { return errno_of(::kill(-1, 0)); });
  fails_only_behind_walls("by a descriptor's owner", [](const World& world) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return errno;
    return errno_of(::fcntl(pair[0], F_SETOWN, world.neighbour));
  });
}

TEST_F(ShareVictimTest, NoSocketIsMade) {
  for (int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
    fails_only_behind_walls("socket", [&](const World&) {
      return errno_of(::socket(family, family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0));
    });
  }
  fails_behind_walls("any family", [](const World&) {
    for (int family = 0; family < AF_MAX; ++family)
      for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET})
        if (::socket(family, type, 0) >= 0) return 0;
    return kRefused;
  });
  fails_only_behind_walls("connect to the listener", [](const World& world) {
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    (world.base + "/listener").copy(address.sun_path, sizeof address.sun_path - 1);
    return errno_of(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  });
}

TEST_F(ShareVictimTest, NothingIsMountedRunOrForked) {
  fails_only_behind_walls("mount", [](const World& world) {
    return errno_of(::mount("none", (world.base + "/work").c_str(), "tmpfs", 0, nullptr));
  });
  fails_only_behind_walls("mount over the share", [](const World& world) {
    if (::fchdir(world.handles.root.descriptor()) != 0) return errno;
    return errno_of(::mount("none", ".", "tmpfs", 0, nullptr));
  });
  fails_only_behind_walls("open_tree", [](const World& world) {
    return errno_of(::syscall(SYS_open_tree, world.handles.root.descriptor(), "", AT_EMPTY_PATH | 1));
  });
  fails_only_behind_walls("fsopen", [](const World&) { return errno_of(::syscall(SYS_fsopen, "tmpfs", 0)); });
  fails_only_behind_walls("chroot", [](const World& world) {
    return ::fchdir(world.handles.root.descriptor()) != 0 ? errno : errno_of(::chroot("."));
  });
  fails_only_behind_walls("exec", [](const World&) {
    char name[] = "/bin/true";
    char* arguments[] = {name, nullptr};
    ::execve(name, arguments, nullptr);
    return errno;
  });
  fails_only_behind_walls("fork", [](const World&) {
    pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    return errno_of(pid);
  });
  fails_only_behind_walls("clone3", [](const World&) {
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) ::_exit(0);
    return errno_of(pid);
  });
  for (int space : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC})
    fails_only_behind_walls("unshare", [&](const World&) { return errno_of(::unshare(space)); });
  fails_only_behind_walls("executable memory", [](const World&) {
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
  });
}

TEST_F(ShareVictimTest, TheKernelOffersNothingMore) {
  fails_behind_walls("keyctl", [](const World&) {
    return errno_of(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
  });
  fails_behind_walls("add_key", [](const World&) {
    return errno_of(::syscall(SYS_add_key, "user", "name", "value", 5, KEY_SPEC_USER_KEYRING));
  });
  fails_behind_walls("io_uring", [](const World&) {
    io_uring_params parameters{};
    return errno_of(::syscall(SYS_io_uring_setup, 4, &parameters));
  });
  fails_behind_walls("bpf", [](const World&) { return errno_of(::syscall(SYS_bpf, 0, nullptr, 0)); });
  fails_behind_walls(
      "perf", [](const World&) { return errno_of(::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0)); });
  fails_behind_walls("userfaultfd", [](const World&) { return errno_of(::syscall(SYS_userfaultfd, 0)); });
  fails_only_behind_walls("memfd",
                          [](const World&) { return errno_of(::syscall(SYS_memfd_create, "m", 0)); });
  fails_only_behind_walls("a device", [](const World& world) {
    return errno_of(::mknodat(world.handles.root.descriptor(), "null", S_IFCHR | 0666, 0x103));
  });
}

TEST_F(ShareVictimTest, NothingIsGained) {
  fails_only_behind_walls("setuid", [](const World&) { return errno_of(::setuid(1)); });
  fails_only_behind_walls("capabilities", [](const World&) {
    auto done = sandbox::set_capabilities(1ULL << 21 | 1ULL << 19);  // SYS_ADMIN, SYS_PTRACE
    return done ? 0 : kRefused;
  });
  fails_only_behind_walls("dumpable",
                          [](const World&) { return errno_of(::syscall(SYS_prctl, 4, 1, 0, 0, 0)); });
  fails_only_behind_walls("a foreign owner", [](const World& world) {
    return errno_of(::fchownat(world.handles.root.descriptor(), "own", kShareIds, kShareIds, 0));
  });
  fails_only_behind_walls("trusted attributes", [](const World& world) {
    sys::Fd file(::openat(world.handles.root.descriptor(), "own", O_RDWR | O_CLOEXEC));
    return errno_of(::syscall(SYS_fsetxattr, file.get(), "trusted.x", "1", 1, 0));
  });
}

}  // namespace
}  // namespace cloister::enclave
