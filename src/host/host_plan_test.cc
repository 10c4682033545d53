#include "host/host_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kInstalled = "---\n# Ours.\nmemory_mib: 512\ncpu_count: 2\n";

NumaNode node(unsigned index, std::uint64_t memory_mib, std::uint64_t set_aside_mib) {
  return {.index = index,
          .memory_mib = memory_mib,
          .free_mib = memory_mib - set_aside_mib,
          .hugepages = {{2048, set_aside_mib / 2, 0}}};
}

// An m5.2xlarge as Amazon Linux leaves it once nitro-cli is installed: 8 processors, 4 cores, one node.
HostFacts fresh() {
  HostFacts facts;
  facts.nitro = {.amazon_ec2 = true,
                 .device = true,
                 .device_group = "ne",
                 .module_loaded = true,
                 .allocator_text = kInstalled,
                 .threads_per_core = 2,
                 .cpus = {0, 1, 2, 3, 4, 5, 6, 7},
                 .cpu_pool = {},
                 .nodes = {node(0, 32000, 0)},
                 .cpu_nodes = {}};
  for (auto cpu : facts.nitro.cpus) facts.nitro.cpu_nodes.emplace_back(cpu, 0);
  facts.nitro_cli = facts.unit_exists = facts.group_exists = facts.user_exists = true;
  return facts;
}

// The same when the allocator has run with what its file says.
HostFacts ready() {
  auto facts = fresh();
  facts.unit_active = facts.unit_enabled = facts.user_is_member = true;
  facts.nitro.cpu_pool = {1, 5};
  facts.nitro.nodes = {node(0, 32000, 512)};
  return facts;
}

// A Graviton machine of two nodes with 64 processors each and no threads.
HostFacts graviton() {
  auto facts = fresh();
  facts.nitro.threads_per_core = 1;
  facts.nitro.cpus.clear();
  facts.nitro.cpu_nodes.clear();
  for (unsigned cpu = 0; cpu < 128; ++cpu) {
    facts.nitro.cpus.push_back(cpu);
    facts.nitro.cpu_nodes.emplace_back(cpu, cpu / 64);
  }
  facts.nitro.nodes = {node(0, 128000, 0), node(1, 128000, 0)};
  return facts;
}

std::vector<std::string> commands(const HostPlan& plan) {
  std::vector<std::string> out;
  for (const auto& step : plan.steps)
    out.push_back(step.command.empty() ? step.file : fmt::format("{}", fmt::join(step.command, " ")));
  return out;
}

constexpr const char* kEnable = "systemctl enable nitro-enclaves-allocator.service";
constexpr const char* kRestart = "systemctl restart nitro-enclaves-allocator.service";

TEST(HostPlan, AFreshMachine) {
  auto plan = plan_host(fresh(), {.memory_mib = 3072, .cpus = 4, .user = "ec2-user"}).value();
  EXPECT_THAT(commands(plan), ElementsAre(kAllocatorFile, kEnable, kRestart, "usermod -aG ne ec2-user"));
  EXPECT_EQ(plan.steps[0].text, "---\n# Ours.\nmemory_mib: 3072\ncpu_count: 4\n");
  EXPECT_THAT(plan.steps[0].what, HasSubstr("memory_mib 512 → 3072, processors 2 → 4"));
  EXPECT_TRUE(plan.notes.empty());
}

TEST(HostPlan, NothingToDo) {
  EXPECT_TRUE(plan_host(ready(), {.memory_mib = 512, .cpus = 2, .user = "ec2-user"})->steps.empty());
  EXPECT_TRUE(plan_host(ready(), {})->steps.empty());
  EXPECT_TRUE(plan_host(ready(), {.user = "root"})->steps.empty());
  auto busy = ready();
  busy.running_enclaves = 2;  // which is no matter then
  EXPECT_TRUE(plan_host(busy, {.memory_mib = 512})->steps.empty());
}

TEST(HostPlan, WhatDidNotTakeEffectIsDoneAgain) {
  auto less = ready();
  less.nitro.nodes = {node(0, 32000, 256)};
  EXPECT_THAT(commands(plan_host(less, {}).value()), ElementsAre(kRestart));
  auto failed = ready();
  failed.unit_active = false;
  EXPECT_THAT(commands(plan_host(failed, {}).value()), ElementsAre(kRestart));
  auto fewer = ready();
  fewer.nitro.cpu_pool.clear();
  EXPECT_THAT(commands(plan_host(fewer, {}).value()), ElementsAre(kRestart));
  auto today = ready();
  today.unit_enabled = false;
  EXPECT_THAT(commands(plan_host(today, {}).value()), ElementsAre(kEnable));
}

TEST(HostPlan, WhatThePackageWouldHaveDone) {
  auto bare = fresh();
  bare.group_exists = bare.nitro.module_loaded = bare.nitro.device = false;
  bare.nitro.allocator_text.reset();
  auto plan = plan_host(bare, {.memory_mib = 1024}).value();
  EXPECT_THAT(commands(plan),
              ElementsAre("modprobe nitro_enclaves", "groupadd -f ne", kAllocatorFile, kEnable, kRestart));
  EXPECT_EQ(plan.steps[2].text, "---\nmemory_mib: 1024\ncpu_count: 2\n");
  auto strange = ready();
  strange.nitro.device_group = "root";
  EXPECT_THAT(commands(plan_host(strange, {}).value()), ElementsAre("chgrp ne /dev/nitro_enclaves"));
}

TEST(HostPlan, AListOfProcessorsStaysUnlessACountIsGiven) {
  auto facts = fresh();
  facts.nitro.allocator_text = "---\nmemory_mib: 512\ncpu_pool: 2,6\n";
  EXPECT_EQ(plan_host(facts, {.memory_mib = 1024})->steps[0].text, "---\nmemory_mib: 1024\ncpu_pool: 2,6\n");
  EXPECT_EQ(plan_host(facts, {.memory_mib = 1024, .cpus = 4})->steps[0].text,
            "---\nmemory_mib: 1024\n# cpu_pool: 2,6\ncpu_count: 4\n");
}

TEST(HostPlan, AFileThatTheServiceCannotReadIsMended) {
  auto facts = fresh();
  facts.nitro.allocator_text = "---\nmemory_mib: 512 # too little?\n\ncpu_count: 2\n";
  EXPECT_EQ(plan_host(facts, {.memory_mib = 1024})->steps[0].text,
            "---\nmemory_mib: 1024\n#\ncpu_count: 2\n");
  facts.nitro.allocator_text = "---\nmemory_mb: 512\n";  // of which nobody knows what it was to be
  EXPECT_THAT(plan_host(facts, {.memory_mib = 1024}).error().message(),
              HasSubstr("allocator.yaml: line 2: 'memory_mb'"));
  EXPECT_EQ(plan_host(facts, {}).error().kind(), ErrorKind::invalid);  // how much is it to be?
}

struct Refusal {
  HostFacts facts;
  HostWish wish;
  ErrorKind kind;
  const char* said;
  const char* hint;
};

TEST(HostPlan, Refusals) {
  HostFacts elsewhere;
  auto no_package = fresh(), no_unit = fresh(), not_launched = fresh(), busy = fresh(), nobody = fresh(),
       empty = fresh();
  no_package.nitro_cli = false;
  no_unit.unit_exists = false;
  not_launched.nitro.device = false;
  busy.running_enclaves = 1;
  nobody.user_exists = false;
  empty.nitro.allocator_text.reset();
  for (const auto& [facts, wish, kind, said, hint] : {
           Refusal{elsewhere, {.memory_mib = 512}, ErrorKind::not_found, "no EC2 instance", "--backend qemu"},
           Refusal{no_package,
                   {.memory_mib = 512},
                   ErrorKind::not_found,
                   "nitro-cli is not installed",
                   "dnf install"},
           Refusal{no_unit,
                   {.memory_mib = 512},
                   ErrorKind::not_found,
                   "nitro-cli is not installed",
                   "dnf install"},
           Refusal{not_launched,
                   {.memory_mib = 512},
                   ErrorKind::not_found,
                   "launched without enclaves",
                   "--enclave-options"},
           Refusal{empty, {}, ErrorKind::invalid, "how much memory", "--memory MIB"},
           Refusal{fresh(),
                   {.memory_mib = 512, .cpus = 3},
                   ErrorKind::invalid,
                   "a core goes to enclaves whole, and has 2",
                   "--cpus 4"},
           Refusal{fresh(),
                   {.memory_mib = 512, .cpus = 8},
                   ErrorKind::invalid,
                   "at most 6 of one node",
                   "larger instance"},
           Refusal{fresh(),
                   {.memory_mib = 32000},
                   ErrorKind::invalid,
                   "a node has 32000 here",
                   "larger instance"},
           Refusal{fresh(), {.memory_mib = ~0ULL}, ErrorKind::invalid, "at most", ""},
           Refusal{busy, {.memory_mib = 1024}, ErrorKind::unavailable, "1 enclave(s) run", "cloister down"},
           Refusal{nobody,
                   {.memory_mib = 512, .user = "x\x1b[2J"},
                   ErrorKind::invalid,
                   "there is no user 'x\\x1b[2J'",
                   ""},
           Refusal{
               graviton(), {.memory_mib = 512, .cpus = 65}, ErrorKind::invalid, "at most 64 of one node", ""},
           Refusal{graviton(), {.memory_mib = 200000}, ErrorKind::invalid, "a node has 128000", ""},
       }) {
    auto plan = plan_host(facts, wish);
    ASSERT_FALSE(plan) << said;
    EXPECT_EQ(plan.error().kind(), kind) << said;
    EXPECT_THAT(plan.error().message(), HasSubstr(said));
    EXPECT_THAT(plan.error().hint(), HasSubstr(hint));
  }
}

TEST(HostPlan, TheSecondNodeCanGiveAllOfItself) {
  EXPECT_EQ(plan_host(graviton(), {.memory_mib = 100000, .cpus = 64})->cpus, 64U);
  EXPECT_EQ(plan_host(graviton(), {.memory_mib = 512, .cpus = 3})->cpus, 3U);  // no threads
}

TEST(HostPlan, MemoryThatIsInUseIsANote) {
  auto full = fresh();
  full.nitro.nodes[0].free_mib = 1000;
  auto plan = plan_host(full, {.memory_mib = 4096}).value();
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("1000 MiB are free")));
}

TEST(HostPlan, WhatTheAllocatorGotIsTold) {
  HostPlan plan{.memory_mib = 3072, .cpus = 2, .steps = {}, .notes = {}};
  auto host = ready().nitro;
  auto less = check_host(host, plan, "Error: Failed to configure entire amount of requested memory.\x1b");
  ASSERT_FALSE(less);
  EXPECT_EQ(
      less.error().message(),
      "the allocator did not set aside what was asked: 512 of 3072 MiB, 2 of 2 processors (Error: Failed to "
      "configure entire amount of requested memory.\\x1b)");
  EXPECT_THAT(less.error().hint(), HasSubstr("reboot"));
  EXPECT_FALSE(check_host(host, plan, ""));  // it says that it did, and did not
  host.nodes = {node(0, 32000, 3072)};
  EXPECT_TRUE(check_host(host, plan, ""));
  host.device = false;
  EXPECT_THAT(check_host(host, plan, "").error().message(), HasSubstr("launched without enclaves"));
}

}  // namespace
}  // namespace cloister::host
