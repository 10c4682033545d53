#include "sandbox/identity.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <filesystem>

#include "sandbox/user_namespace.h"
#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

int drop_everything() {
  must(drop_bounding_set(0));
  must(become(kUid, kUid));
  must(set_capabilities(0));
  return verify_identity(kUid, kUid, 0) ? 0 : 1;
}

TEST(Identity, NothingIsLeft) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(outside(drop_everything), 0);
  EXPECT_EQ(outside([] { return drop_everything() + errno_of(::setuid(0)); }), EPERM);
  EXPECT_EQ(outside([] { return drop_everything() + errno_of(::chroot("/tmp")); }), EPERM);
  EXPECT_EQ(outside([] { return drop_everything() + errno_of(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)); }),
            EPERM);
}

// verify_identity() must notice each thing that the other steps might have left behind.
TEST(Identity, VerifyNoticesWhatWasLeftOut) {
  SKIP_UNLESS_ROOT();
  auto verdict = [] {
    auto status = verify_identity(kUid, kUid, 0);
    return !status && status.error().kind() == ErrorKind::internal ? 1 : 0;
  };
  EXPECT_EQ(outside(verdict), 1) << "still root";
  EXPECT_EQ(outside([&] {
              must(become(kUid, kUid));
              return verdict();
            }),
            1)
      << "the bounding set is left";
  EXPECT_EQ(outside([&] {
              must(drop_bounding_set(0));
              return errno_of(::setresgid(kUid, kUid, kUid)) + errno_of(::setresuid(kUid, kUid, 0)) +
                     verdict();
            }),
            1)
      << "the saved uid is root";
  EXPECT_EQ(outside([&] {
              gid_t group = 27;
              must(drop_bounding_set(0));
              if (::setgroups(1, &group) != 0 || ::setresgid(kUid, kUid, kUid) != 0) return 2;
              return errno_of(::setresuid(kUid, kUid, kUid)) + verdict();
            }),
            1)
      << "a group is left";
  EXPECT_EQ(outside([&] {
              must(drop_bounding_set(0));
              ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
              must(become(kUid, 0));
              return verdict();
            }),
            1)
      << "the gid is root's";
}

// A copy of an interpreter that belongs to root and is setuid, on a file system that honours it.
class SetuidProgram : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    std::filesystem::copy_file("/usr/bin/python3", path_);
    ASSERT_EQ(::chmod(path_.c_str(), 04755), 0);
  }
  // Exits with 1 if it is root. In a job's root its mount would be nosuid too; here only no_new_privs stands
  // in its way.
  int run_python(bool no_new_privileges) const {
    return outside([&] {
      must(become(kUid, kUid));
      if (no_new_privileges) must(set_no_new_privileges());
      const char* argv[] = {path_.c_str(), "-I", "-c", "import os; os._exit(1 if os.geteuid() == 0 else 0)",
                            nullptr};
      ::execve(path_.c_str(), const_cast<char**>(argv), ::environ);
      return 200;
    });
  }
  TempDir dir_;
  std::string path_ = dir_.path() + "/setuid-python";
};

TEST_F(SetuidProgram, GainsNothing) {
  ASSERT_EQ(run_python(false), 1) << "the attack must work outside";
  EXPECT_EQ(run_python(true), 0);
}

TEST(Identity, LockedSecurebitsKeepRootFromGainingByExecve) {
  SKIP_UNLESS_ROOT();
  // Even uid 0 starts programs without capabilities.
  auto effective_after_exec = [](bool lock) {
    return outside([=] {
      if (lock) must(drop_bounding_set(0));
      const char* argv[] = {"/bin/sh", "-c", "grep -q '^CapEff:.*[1-9a-f]' /proc/self/status", nullptr};
      ::execve(argv[0], const_cast<char**>(argv), ::environ);
      return 200;
    });
  };
  EXPECT_EQ(effective_after_exec(false), 0);
  EXPECT_EQ(effective_after_exec(true), 1);
}

TEST(Identity, InAUserNamespaceNamedCapabilitiesStay) {
  SKIP_UNLESS_ROOT();
  constexpr std::uint64_t kKeep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE;
  auto body = [] {
    must(drop_bounding_set(kKeep));
    must(become(0, 0));
    must(set_capabilities(kKeep));
    if (!verify_identity(0, 0, kKeep)) return 1;
    return verify_identity(0, 0, 0) ? 2 : 0;
  };
  auto child = fork_in_user_namespace(body, {{.inside = 0, .outside = 700000, .count = 10}});
  ASSERT_TRUE(child) << child.error().message();
  auto status = child->wait(sys::Deadline::after(sys::seconds(10)));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->shell_code(), 0);
}

// One process of the user attacks another: reads its memory and takes over its control.
int attack_sibling(bool dumpable) {
  return outside([=] {
    must(become(kUid, kUid));
    auto victim = sys::fork_child([=] {
      if (!dumpable)
        must(set_not_dumpable());
      else
        ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
      return ::pause();
    });
    if (!victim) return 200;
    ::usleep(50'000);
    auto memory = "/proc/" + std::to_string(victim->pid()) + "/mem";
    return (::open(memory.c_str(), O_RDWR) >= 0 ? 0 : 1) +
           (::ptrace(PTRACE_ATTACH, victim->pid(), nullptr, nullptr) == 0 ? 0 : 2);
  });
}

TEST(Identity, ProcessesOfTheSameUserCannotReachOneThatIsNotDumpable) {
  SKIP_UNLESS_ROOT();
  int before = attack_sibling(true);
  if (before != 0) GTEST_SKIP() << "Yama or another module refuses it anyway";
  EXPECT_EQ(attack_sibling(false), 3);
}

TEST(Identity, TheKeysOfTheParentAreGone) {
  SKIP_UNLESS_ROOT();
  constexpr long kSearch = 10;       // KEYCTL_SEARCH
  constexpr long kSessionRing = -3;  // KEY_SPEC_SESSION_KEYRING
  auto find = [](bool fresh) {
    return outside([=] {
      if (auto first = new_keyring(); !first) return 200;
      if (::syscall(SYS_add_key, "user", "cloister-secret", "x", 1, kSessionRing) < 0) return 201;
      if (fresh) must(new_keyring());
      return ::syscall(SYS_keyctl, kSearch, kSessionRing, "user", "cloister-secret", 0) >= 0 ? 1 : 0;
    });
  };
  int before = find(false);
  if (before >= 200) GTEST_SKIP() << "no keyrings here";
  EXPECT_EQ(before, 1);
  EXPECT_EQ(find(true), 0);
}

TEST(Identity, DiesWithItsParent) {
  SKIP_UNLESS_ROOT();
  auto pipe = sys::make_pipe();
  ASSERT_TRUE(pipe);
  // The middle one dies; the one below it changes its id, which disarms what fork_child() armed.
  EXPECT_EQ(outside([&] {
              auto grandchild = sys::fork_child([&] {
                pid_t parent = ::getppid();
                must(become(kUid, kUid));
                must(die_with_parent(parent));
                (void)!::write(pipe->write.get(), "x", 1);
                return ::pause();
              });
              char byte = 0;
              if (!grandchild || ::read(pipe->read.get(), &byte, 1) != 1) return 200;
              grandchild->let_go();
              return 0;
            }),
            0);
  pipe->write.reset();
  char byte = 0;
  EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 0) << "the grandchild holds the pipe until it is dead";
  EXPECT_EQ(outside([] { return die_with_parent(::getppid() + 1) ? 0 : 1; }), 1)
      << "the parent is already another";
}

}  // namespace
}  // namespace cloister::sandbox
