#include "sandbox/cgroup.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>

#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

std::string unique_name() {
  return "cloister-test-" + std::to_string(::getpid());
}

// The place for test groups: where the caller itself lives. Empty where there is none.
std::string parent_group() {
  auto own = own_cgroup();
  return own && ::access((*own + "/cgroup.procs").c_str(), W_OK) == 0 ? *own : "";
}

#define SKIP_UNLESS_CGROUPS() \
  SKIP_UNLESS_ROOT();         \
  if (parent_group().empty()) GTEST_SKIP() << "no writable cgroup v2 hierarchy"

TEST(Cgroup, KillEndsEverythingInside) {
  SKIP_UNLESS_CGROUPS();
  WallReport report;
  auto group = Cgroup::create(parent_group(), unique_name(), {}, report);
  ASSERT_TRUE(group) << group.error().message();
  if (!report.held(Wall::cgroup)) GTEST_SKIP() << report.at(Wall::cgroup).note.view();
  auto pipe = sys::make_pipe();
  auto child = sys::fork_child([&] {
    must(group->enter());
    // A daemon: its own session, an orphan, and it does not listen.
    if (::fork() == 0) {
      if (::fork() != 0) ::_exit(0);
      ::setsid();
      ::signal(SIGTERM, SIG_IGN);
      (void)!::write(pipe->write.get(), "x", 1);
      return ::pause();
    }
    (void)!::write(pipe->write.get(), "x", 1);
    return ::pause();
  });
  ASSERT_TRUE(child);
  char byte = 0;
  ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  pipe->write.reset();
  EXPECT_FALSE(std::filesystem::is_empty(parent_group() + "/" + unique_name()));
  ASSERT_TRUE(group->kill());
  EXPECT_EQ(child->wait(sys::Deadline::after(sys::seconds(10)))->shell_code(), 128 + SIGKILL);
  EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 0) << "the daemon is gone too";
  ASSERT_TRUE(group->remove());
  EXPECT_FALSE(std::filesystem::exists(parent_group() + "/" + unique_name()));
}

TEST(Cgroup, DroppingItKillsAndRemoves) {
  SKIP_UNLESS_CGROUPS();
  sys::Child child;
  {
    WallReport report;
    auto group = Cgroup::create(parent_group(), unique_name(), {}, report);
    ASSERT_TRUE(group);
    if (!report.held(Wall::cgroup)) GTEST_SKIP() << report.at(Wall::cgroup).note.view();
    auto pipe = sys::make_pipe();
    child = *sys::fork_child([&] {
      must(group->enter());
      (void)!::write(pipe->write.get(), "x", 1);
      return ::pause();
    });
    char byte = 0;
    ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  }
  EXPECT_FALSE(std::filesystem::exists(parent_group() + "/" + unique_name()));
  EXPECT_EQ(child.wait(sys::Deadline::after(sys::seconds(10)))->shell_code(), 128 + SIGKILL);
}

TEST(Cgroup, TheNamespaceHidesWhereItIs) {
  SKIP_UNLESS_CGROUPS();
  WallReport report;
  auto group = Cgroup::create(parent_group(), unique_name(), {}, report);
  ASSERT_TRUE(group);
  auto child = sys::fork_child([&] {
    must(group->enter());
    return read_text("/proc/self/cgroup").find("0::/\n") != std::string::npos ? 0 : 1;
  });
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait()->shell_code(), 0);
}

TEST(Cgroup, WhatIsNoCgroupIsUnavailable) {
  TempDir dir;
  WallReport report;
  auto group = Cgroup::create(dir.path(), "x", {}, report);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind(), ErrorKind::unavailable);
  EXPECT_FALSE(Cgroup::create("/no/such/place", "x", {}, report));
  EXPECT_FALSE(Cgroup::create(dir.path(), "../x", {}, report));
}

TEST(Cgroup, AbsentControllersAreReportedAndNotAssumed) {
  TempDir dir;  // like a group whose parent delegates nothing
  auto group = sys::Dir::open(dir.path());
  ASSERT_TRUE(group);
  WallReport report;
  apply_cgroup_limits(*group, {.memory_bytes = 1 << 20, .processes = 10, .cpu_percent = 50}, report);
  for (auto wall : {Wall::cgroup_memory, Wall::cgroup_pids, Wall::cgroup_cpu}) {
    EXPECT_EQ(report.at(wall).state, WallState::unavailable) << to_string(wall);
  }
  EXPECT_NE(report.at(Wall::cgroup_memory).note.view().find("not delegated"), std::string_view::npos);
  EXPECT_FALSE(report.require({Wall::cgroup_memory}));
}

TEST(Cgroup, LimitsAreWrittenAsTheKernelReadsThem) {
  TempDir dir;
  for (const char* name : {"memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"})
    dir.file(name);
  auto group = sys::Dir::open(dir.path());
  ASSERT_TRUE(group);
  WallReport report;
  apply_cgroup_limits(*group, {.memory_bytes = 1 << 20, .processes = 10, .cpu_percent = 150}, report);
  EXPECT_EQ(read_text(dir.path() + "/memory.max"), "1048576");
  EXPECT_EQ(read_text(dir.path() + "/memory.swap.max"), "0");
  EXPECT_EQ(read_text(dir.path() + "/memory.oom.group"), "1");
  EXPECT_EQ(read_text(dir.path() + "/pids.max"), "10");
  EXPECT_EQ(read_text(dir.path() + "/cpu.max"), "150000 100000");
  EXPECT_TRUE(report.require({Wall::cgroup_memory, Wall::cgroup_pids, Wall::cgroup_cpu}));
}

TEST(Cgroup, TheMemoryOfTheWholeJobIsBounded) {
  SKIP_UNLESS_CGROUPS();
  WallReport report;
  auto group = Cgroup::create(parent_group(), unique_name(), {.memory_bytes = 32 << 20}, report);
  ASSERT_TRUE(group);
  if (!report.held(Wall::cgroup_memory)) GTEST_SKIP() << report.at(Wall::cgroup_memory).note.view();
  auto fill = [](bool inside, const Cgroup* g) {
    return outside([=] {
      if (inside) must(g->enter());
      constexpr std::size_t kFill = 128 << 20;
      void* at =
          ::mmap(nullptr, kFill, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      return at == MAP_FAILED ? errno : 0;
    });
  };
  ASSERT_EQ(fill(false, nullptr), 0);
  EXPECT_EQ(fill(true, &*group), 128 + SIGKILL);
  EXPECT_GE(group->oom_kills(), 1U);
}

}  // namespace
}  // namespace cloister::sandbox
