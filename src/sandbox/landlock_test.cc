#include "sandbox/landlock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/identity.h"
#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

#define SKIP_UNLESS_LANDLOCK(abi) \
  SKIP_UNLESS_ROOT();             \
  if (landlock_abi() < (abi)) GTEST_SKIP() << "Landlock ABI " << landlock_abi() << ", needs " << (abi)

// As root: Landlock has to hold whatever the user may do.
int within(const std::vector<LandlockRule>& rules, const Attack& attack,
           const LandlockOptions& options = {}) {
  return outside([&] {
    must(set_no_new_privileges());
    if (auto abi = restrict_paths(rules, options); !abi) must(std::unexpected(abi.error()));
    return attack();
  });
}

Attack open_path(const std::string& path, int flags) {
  return [=] { return errno_of(::open(path.c_str(), flags, 0600)); };
}

TEST(Landlock, GivesUpEveryPathThatNoRuleNames) {
  SKIP_UNLESS_LANDLOCK(1);
  TempDir dir;
  auto secret = dir.file("secret", "x");
  ASSERT_EQ(outside(open_path(secret, O_RDONLY)), 0);
  EXPECT_EQ(within({}, open_path(secret, O_RDONLY)), EACCES);
  EXPECT_EQ(within({}, open_path("/etc/passwd", O_RDONLY)), EACCES);
  EXPECT_EQ(within({{dir.path(), kRead}}, open_path(secret, O_RDONLY)), 0);
  EXPECT_EQ(within({{dir.path(), kRead}}, open_path("/etc/passwd", O_RDONLY)), EACCES);
  EXPECT_EQ(within({{dir.path(), kRead}}, open_path(dir.path() + "/../../etc/passwd", O_RDONLY)), EACCES);
}

TEST(Landlock, ReadingIsNotWriting) {
  SKIP_UNLESS_LANDLOCK(1);
  TempDir dir;
  auto path = dir.file("file", "x");
  auto fresh = dir.path() + "/new";
  std::vector<LandlockRule> read = {{dir.path(), kRead}};
  ASSERT_EQ(outside(open_path(path, O_WRONLY)), 0);
  EXPECT_EQ(within(read, open_path(path, O_WRONLY)), EACCES);
  EXPECT_EQ(within(read, open_path(fresh, O_WRONLY | O_CREAT)), EACCES);
  EXPECT_EQ(within(read, [&] { return errno_of(::mkdir(fresh.c_str(), 0700)); }), EACCES);
  EXPECT_EQ(within(read, [&] { return errno_of(::unlink(path.c_str())); }), EACCES);
  EXPECT_EQ(within(read, [&] { return errno_of(::symlink("x", fresh.c_str())); }), EACCES);
  if (landlock_abi() >= 3) {
    EXPECT_EQ(within(read, [&] { return errno_of(::truncate(path.c_str(), 0)); }), EACCES);
  }
  EXPECT_EQ(read_text(path), "x");
}

TEST(Landlock, WritingIsNotReadingNorExecuting) {
  SKIP_UNLESS_LANDLOCK(2);
  TempDir dir;
  auto path = dir.file("file", "x");
  auto sub = dir.directory("sub");
  std::vector<LandlockRule> write = {{dir.path(), kWrite}};
  EXPECT_EQ(within(write, open_path(path, O_WRONLY)), 0);
  EXPECT_EQ(within(write, open_path(path, O_RDONLY)), EACCES);
  EXPECT_EQ(within(write, [&] { return errno_of(::rename(path.c_str(), (sub + "/moved").c_str())); }), 0);
  auto device = [&] { return errno_of(::mknod((dir.path() + "/null").c_str(), S_IFCHR | 0600, 0x103)); };
  EXPECT_EQ(within(write, device), EACCES);
  EXPECT_EQ(outside(device), 0);
}

TEST(Landlock, OnlyAnExecuteRuleRunsPrograms) {
  SKIP_UNLESS_LANDLOCK(1);
  auto run = [] {
    char name[] = "/usr/bin/true";
    char* argv[] = {name, nullptr};
    ::execve(name, argv, ::environ);
    return errno;
  };
  ASSERT_EQ(outside(run), 0);
  EXPECT_EQ(within({{"/", kRead | kWrite}}, run), EACCES);
  EXPECT_EQ(within({{"/", kRead | kExecute}}, run), 0);
}

TEST(Landlock, ARuleForAFileIsForThatFile) {
  SKIP_UNLESS_LANDLOCK(1);
  TempDir dir;
  auto one = dir.file("one", "x");
  auto two = dir.file("two", "x");
  EXPECT_EQ(within({{one, kRead | kWrite}}, open_path(one, O_RDWR)), 0);
  EXPECT_EQ(within({{one, kRead | kWrite}}, open_path(two, O_RDONLY)), EACCES);
}

TEST(Landlock, SocketsAreBoundOnlyWhereARuleSaysSo) {
  SKIP_UNLESS_LANDLOCK(1);
  TempDir dir;
  auto path = dir.path() + "/socket";
  auto bind_there = [&] {
    ::unlink(path.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    return errno_of(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  };
  ASSERT_EQ(outside(bind_there), 0);
  EXPECT_EQ(within({{"/", kRead | kWrite}}, bind_there), EACCES);
  EXPECT_EQ(within({{"/", kRead | kWrite}, {dir.path(), kSockets}}, bind_there), 0);
}

TEST(Landlock, AMissingPathAndAnEmptyRuleAreErrors) {
  SKIP_UNLESS_LANDLOCK(1);
  EXPECT_EQ(outside([] {
              must(set_no_new_privileges());
              auto missing = restrict_paths({{"/no/such/path", kRead}});
              auto empty = restrict_paths({{"/tmp", 0}});
              bool right = !missing && missing.error().kind() == ErrorKind::not_found && !empty &&
                           empty.error().kind() == ErrorKind::invalid;
              // Neither left the process half restricted.
              return right && ::open("/etc/passwd", O_RDONLY) >= 0 ? 0 : 1;
            }),
            0);
}

int bind_loopback() {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return errno_of(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

TEST(Landlock, RefusesTcpUnlessAsked) {
  SKIP_UNLESS_LANDLOCK(4);
  ASSERT_EQ(outside(bind_loopback), 0);
  EXPECT_EQ(within({}, bind_loopback), EACCES);
  EXPECT_EQ(within({}, bind_loopback, {.allow_tcp = true}), 0);
}

TEST(Landlock, RefusesIoctlOnDevices) {
  SKIP_UNLESS_LANDLOCK(5);
  auto ask_terminal = [] {
    int fd = ::open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int number = 0;
    return errno_of(::ioctl(fd, TIOCGPTN, &number));
  };
  ASSERT_EQ(outside(ask_terminal), 0);
  EXPECT_EQ(within({{"/dev", kRead | kWrite}}, ask_terminal), EACCES);
}

TEST(Landlock, KeepsSignalsAndAbstractSocketsInside) {
  SKIP_UNLESS_LANDLOCK(6);
  auto sibling = sys::fork_child([] { return ::pause(); });
  ASSERT_TRUE(sibling);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "cloister-test-%d", ::getpid());
  sys::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  auto reach = [&] {
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    return errno_of(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  };
  auto touch = [&] { return errno_of(::kill(sibling->pid(), 0)); };
  ASSERT_EQ(outside(reach), 0);
  ASSERT_EQ(outside(touch), 0);
  EXPECT_EQ(within({}, reach), EPERM);
  EXPECT_EQ(within({}, touch), EPERM);
}

}  // namespace
}  // namespace cloister::sandbox
