#include "sandbox/contain.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

#include "sandbox/identity.h"
#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

Walls walls_of(Profile profile) {
  Walls walls;
  walls.profile = profile;
  walls.uid = walls.gid = kUid;
  return walls;
}

// Contains a child of root and hands the attack what contain() answered.
int contained(const Walls& walls, const std::function<int(const Result<WallReport>&)>& attack) {
  return outside([&] { return attack(contain(walls)); });
}

int contained(const Walls& walls, const Attack& attack) {
  return contained(walls, [&](const Result<WallReport>& report) {
    if (!report) must(std::unexpected(report.error()));
    return attack();
  });
}

// Answers 0 if contain() refused with this kind, and no wall was taken for held.
int refusal(const Walls& walls, ErrorKind kind) {
  return contained(walls, [=](const Result<WallReport>& report) {
    return !report && report.error().kind() == kind ? 0 : 1;
  });
}

TEST(Contain, EveryWallHoldsInEveryProfile) {
  SKIP_UNLESS_ROOT();
  for (auto profile : {Profile::job, Profile::unpacker, Profile::share_server, Profile::listener,
                       Profile::keeper, Profile::module}) {
    auto code = contained(walls_of(profile), [](const Result<WallReport>& report) {
      return report && report->require(kUsualMinimum) && report->at(Wall::mounts).state == WallState::absent
                 ? 0
                 : 1;
    });
    EXPECT_EQ(code, 0) << to_string(profile);
  }
}

TEST(Contain, WhatTheKernelSaysOfTheProcess) {
  SKIP_UNLESS_ROOT();
  auto walls = walls_of(Profile::job);
  walls.landlock = {{{"/proc", kRead}}};
  EXPECT_EQ(contained(walls,
                      [] {
                        rlimit core{};
                        ::getrlimit(RLIMIT_CORE, &core);
                        if (::getuid() != kUid || ::getegid() != kUid || ::getgroups(0, nullptr) != 0)
                          return 1;
                        if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
                            ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
                          return 2;
                        if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || core.rlim_max > 1) return 3;
                        int armed = 0;
                        ::prctl(PR_GET_PDEATHSIG, &armed, 0, 0, 0);
                        return armed == SIGKILL && ::getsid(0) == ::getpid() ? 0 : 4;
                      }),
            0);
}

// A change of ids clears the flag as well; a process that stays who it was has only the wall for it.
TEST(Contain, NotDumpableEvenWithoutAChangeOfIds) {
  SKIP_UNLESS_ROOT();
  auto walls = walls_of(Profile::job);
  walls.uid = walls.gid = 0;
  EXPECT_EQ(outside([] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }), 1);
  EXPECT_EQ(contained(walls, [] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }), 0);
}

TEST(Contain, OnlyNamedDescriptorsStay) {
  SKIP_UNLESS_ROOT();
  int leaked = ::open("/etc/shadow", O_RDONLY);
  int kept = ::open("/etc/passwd", O_RDONLY);
  int high = ::fcntl(leaked, F_DUPFD, 500);
  ASSERT_GE(leaked, 3);
  auto reads = [](int fd) {
    char byte;
    return ::read(fd, &byte, 1) == 1;
  };
  EXPECT_EQ(outside([&] { return reads(leaked) && reads(high) ? 0 : 1; }), 0);
  ::lseek(leaked, 0, SEEK_SET);
  auto walls = walls_of(Profile::job);
  walls.keep_fds = {kept};
  EXPECT_EQ(contained(walls,
                      [&] {
                        if (reads(leaked) || reads(high) || !reads(kept)) return 1;
                        for (int fd = 3; fd < 1000; ++fd) {
                          if (fd != kept && ::fcntl(fd, F_GETFD) >= 0) return 2;
                        }
                        return 0;
                      }),
            0);
  walls.keep_fds = {900};  // not open: a mistake of the caller, which could become another file
  EXPECT_NE(refusal(walls, ErrorKind::unavailable), 0);
  EXPECT_EQ(contained(walls, [](const Result<WallReport>& report) { return report ? 1 : 0; }), 0);
  for (int fd : {leaked, kept, high}) ::close(fd);
}

TEST(Contain, AClosedStandardStreamIsRefused) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(outside([] {
              ::close(1);
              return contain(walls_of(Profile::job)) ? 1 : 0;
            }),
            0);
}

// Not the kernel's lack but a refusal: always an error, whatever the minimum says.
TEST(Contain, FailsClosed) {
  SKIP_UNLESS_ROOT();
  auto walls = walls_of(Profile::job);
  walls.minimum = {};
  walls.landlock = {{{"/no/such/path", kRead}}};
  EXPECT_EQ(refusal(walls, ErrorKind::not_found), 0) << "a rule that does not apply is not skipped";

  walls = walls_of(Profile::job);
  walls.minimum = {};
  walls.capabilities = 1ULL << CAP_SYS_ADMIN;
  EXPECT_EQ(refusal(walls, ErrorKind::invalid), 0);

  walls = walls_of(Profile::job);
  walls.minimum = {};
  EXPECT_EQ(outside([&] {
              must(become(kUid, kUid));  // no longer root: the groups and the bounding set cannot be dropped
              return contain(walls) ? 1 : 0;
            }),
            0);
  EXPECT_EQ(outside([&] {
              ::setpgid(0, 0);  // a group's leader cannot start a session
              return contain(walls) ? 1 : 0;
            }),
            0);
}

TEST(Contain, AWallLeftOutFailsTheMinimum) {
  SKIP_UNLESS_ROOT();
  auto walls = walls_of(Profile::job);
  walls.landlock.reset();
  EXPECT_EQ(contained(walls, [](const Result<WallReport>& report) { return report ? 0 : 1; }), 0);
  walls.minimum.add(Wall::landlock);
  EXPECT_EQ(refusal(walls, ErrorKind::denied), 0);
}

// A kernel that lacks a wall, played by a filter under which Landlock's or the keyrings' calls do not exist.
int without_call(long number, const Walls& walls,
                 const std::function<int(const Result<WallReport>&)>& judge) {
  return outside([&] {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter{4, program};
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
      return kHarnessFailed;  // root needs no more
    return judge(contain(walls));
  });
}

TEST(Contain, ALackingWallIsReportedUnlessItIsInTheMinimum) {
  SKIP_UNLESS_ROOT();
  auto walls = walls_of(Profile::job);
  auto lacks_landlock = [](const Result<WallReport>& report) {
    return report && report->at(Wall::landlock).state == WallState::unavailable &&
                   report->at(Wall::landlock).note.view() == "kernel without Landlock" &&
                   report->held(Wall::seccomp)
               ? 0
               : 1;
  };
  auto refused = [](const Result<WallReport>& report) { return report ? 1 : 0; };
  EXPECT_EQ(without_call(SYS_landlock_create_ruleset, walls, lacks_landlock), 0);
  walls.minimum.add(Wall::landlock);
  EXPECT_EQ(without_call(SYS_landlock_create_ruleset, walls, refused), 0);
  walls = walls_of(Profile::job);
  walls.minimum.add(Wall::keyring);
  EXPECT_EQ(without_call(SYS_keyctl, walls, refused), 0);
  walls.minimum.remove(Wall::keyring);
  EXPECT_EQ(without_call(SYS_keyctl, walls,
                         [](const Result<WallReport>& report) {
                           return report && report->at(Wall::keyring).state == WallState::unavailable ? 0 : 1;
                         }),
            0);
}

}  // namespace
}  // namespace cloister::sandbox
