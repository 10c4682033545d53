#include "sandbox/limits.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>

#include "sandbox/identity.h"
#include "sandbox/victim.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

int limited(const ResourceLimits& limits, const Attack& attack) {
  return outside([&] {
    must(apply_limits(limits));
    must(become(kUid, kUid));
    return attack();
  });
}

constexpr int kBomb = 60;  // children that the fork bomb of the test tries to have

// How many children it could start at once.
int fork_bomb() {
  int started = 0;
  pid_t children[kBomb];
  while (started < kBomb) {
    pid_t pid = ::fork();
    if (pid == 0) {
      ::pause();
      ::_exit(0);
    }
    if (pid < 0) break;
    children[started++] = pid;
  }
  for (int i = 0; i < started; ++i) ::kill(children[i], SIGKILL);
  for (int i = 0; i < started; ++i) ::waitpid(children[i], nullptr, 0);
  return started;
}

TEST(Limits, AForkBombIsStopped) {
  SKIP_UNLESS_ROOT();
  ASSERT_EQ(outside_as_user(fork_bomb), kBomb);
  int started = limited({.processes = 8}, fork_bomb);
  EXPECT_LE(started, 7) << "the bomb itself is the eighth";
  EXPECT_GE(started, 1);  // fewer than 7 while an orphan of another test waits to be reaped
}

TEST(Limits, MemoryOfAProcess) {
  SKIP_UNLESS_ROOT();
  constexpr std::size_t kTry = 256ULL << 20;
  auto map = [](int protection) {
    return [=] {
      return ::mmap(nullptr, kTry, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
    };
  };
  auto writable = map(PROT_READ | PROT_WRITE);
  ASSERT_EQ(outside_as_user(writable), 0);
  EXPECT_EQ(limited({.data_bytes = 128ULL << 20}, writable), ENOMEM);
  EXPECT_EQ(limited({.data_bytes = 128ULL << 20}, map(PROT_NONE)), 0) << "a mere reservation is no memory";
  EXPECT_EQ(limited({.address_bytes = 200ULL << 20}, map(PROT_NONE)), ENOMEM);
}

TEST(Limits, FilesAndDescriptors) {
  SKIP_UNLESS_ROOT();
  auto grow = [](off_t size) {
    return [=] {
      ::signal(SIGXFSZ, SIG_IGN);
      return errno_of(::ftruncate(::memfd_create("x", MFD_CLOEXEC), size));
    };
  };
  ASSERT_EQ(outside_as_user(grow(1 << 20)), 0);
  EXPECT_EQ(limited({.file_bytes = 1 << 16}, grow(1 << 20)), EFBIG);
  EXPECT_EQ(limited({.file_bytes = 1 << 16}, grow(1 << 16)), 0);
  auto high = [] { return errno_of(::fcntl(0, F_DUPFD, 100)); };
  ASSERT_EQ(outside_as_user(high), 0);
  EXPECT_EQ(limited({.open_files = 64}, high), EINVAL);
}

TEST(Limits, CannotBeRaisedAgain) {
  SKIP_UNLESS_ROOT();
  auto raise_back = [] {
    rlimit more{32, 32};
    return errno_of(::setrlimit(RLIMIT_NPROC, &more));
  };
  EXPECT_EQ(limited({.processes = 8}, raise_back), EPERM);
}

TEST(Limits, ATighterLimitOfTheCallerStays) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(outside([] {
              rlimit tight{32, 32};
              if (::setrlimit(RLIMIT_NOFILE, &tight) != 0) return 200;
              must(become(kUid, kUid));
              must(apply_limits({.open_files = 4096}));
              ::getrlimit(RLIMIT_NOFILE, &tight);
              return tight.rlim_cur == 32 && tight.rlim_max == 32 ? 0 : 1;
            }),
            0);
}

// Where core_pattern names a file; a pipe is refused by the value 1 (see limits.cc), which is asserted below.
TEST(Limits, NoCoreIsDumped) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  auto crash = [&](bool walls) {
    return outside([&, walls] {
      rlimit all{RLIM_INFINITY, RLIM_INFINITY};
      if (::setrlimit(RLIMIT_CORE, &all) != 0 || ::chdir(dir.path().c_str()) != 0) return 200;
      if (walls) must(apply_limits({}));
      must(become(kUid, kUid));
      ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // as execve does
      ::signal(SIGSEGV, SIG_DFL);            // a sanitizer would catch it
      ::raise(SIGSEGV);
      return 201;
    });
  };
  ASSERT_EQ(crash(true), 128 + SIGSEGV);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "a sanitizer's memory is too large to dump";
#endif
  if (read_text("/proc/sys/kernel/core_pattern") != "core\n") GTEST_SKIP() << "cores go elsewhere here";
  ASSERT_EQ(crash(false), 128 + SIGSEGV);
  EXPECT_FALSE(std::filesystem::is_empty(dir.path())) << "the crash must dump outside";
}

TEST(Limits, TheCoreLimitIsOneByteWhichPipesHeedToo) {
  SKIP_UNLESS_ROOT();
  auto value = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    return limit.rlim_cur == 1 && limit.rlim_max == 1 ? 0 : 1;
  };
  EXPECT_EQ(limited({}, value), 0);
}

}  // namespace
}  // namespace cloister::sandbox
