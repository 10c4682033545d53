#include "host/host_plan.h"

#include <algorithm>

#include "base/log.h"

namespace cloister::host {

namespace {

constexpr std::uint64_t kUsualCpus = 2;  // what nitro-cli's package installs

std::unexpected<Error> refuse(ErrorKind kind, std::string why, std::string hint) {
  return std::unexpected(Error(kind, std::move(why)).with_hint(std::move(hint)));
}

Status check_machine(const HostFacts& facts) {
  if (!facts.nitro.device && !facts.nitro.amazon_ec2)
    return refuse(ErrorKind::not_found,
                  "this machine is no EC2 instance, and Nitro enclaves are nowhere else",
                  "cloister up simulates one; cloister up --backend qemu boots an image anywhere");
  if (!facts.nitro_cli || !facts.unit_exists)
    return refuse(ErrorKind::not_found, "nitro-cli is not installed, or without its allocator",
                  "on Amazon Linux 2023: sudo dnf install aws-nitro-enclaves-cli");
  if (!facts.nitro.device && facts.nitro.module_loaded)
    return refuse(ErrorKind::not_found,
                  "this instance was launched without enclaves: there is no /dev/nitro_enclaves",
                  "launch one with them: aws ec2 run-instances --enclave-options Enabled=true …");
  return {};
}

// What is asked for, completed from the file that is there.
Result<HostPlan> sizes(const HostFacts& facts, const HostWish& wish) {
  auto config = parse_allocator(facts.nitro.allocator_text.value_or(""));
  HostPlan plan{.memory_mib = wish.memory_mib, .cpus = wish.cpus, .steps = {}, .notes = {}};
  if (plan.memory_mib == 0 && config) plan.memory_mib = config->memory_mib.value_or(0);
  if (plan.cpus == 0)
    plan.cpus = config ? config->cpus() : std::max<std::uint64_t>(kUsualCpus, facts.nitro.threads_per_core);
  if (plan.memory_mib == 0)
    return refuse(ErrorKind::invalid, "how much memory are enclaves to have?",
                  "--memory MIB, or --image FILE.eif: what that image asks for");
  if (plan.memory_mib > kMaxAllocatorMib)
    return fail(ErrorKind::invalid, "--memory is at most {}", kMaxAllocatorMib);
  auto threads = facts.nitro.threads_per_core;
  if (plan.cpus % threads != 0)
    return refuse(
        ErrorKind::invalid,
        fmt::format("{} processors: a core goes to enclaves whole, and has {} here", plan.cpus, threads),
        fmt::format("--cpus {}", (plan.cpus / threads + 1) * threads));
  return plan;
}

// All processors of a node but the first core's, which the machine keeps.
std::uint64_t cpus_to_give(const NitroHost& host, const NumaNode& node) {
  std::uint64_t count = 0;
  bool has_first = false;
  for (auto [cpu, index] : host.cpu_nodes) {
    count += index == node.index ? 1 : 0;
    has_first = has_first || (index == node.index && cpu == 0);
  }
  return has_first ? count - std::min<std::uint64_t>(count, host.threads_per_core) : count;
}

Status check_sizes(const NitroHost& host, HostPlan& plan) {
  std::uint64_t most_cpus = 0, most_memory = 0, most_free = 0;
  for (const auto& node : host.nodes) {
    auto cpus = cpus_to_give(host, node);
    most_cpus = std::max(most_cpus, cpus);
    if (cpus < plan.cpus) continue;
    most_memory = std::max(most_memory, node.memory_mib);
    most_free = std::max(most_free, node.free_mib + node.hugepage_mib());
  }
  if (most_cpus < plan.cpus)
    return refuse(ErrorKind::invalid,
                  fmt::format("{} processors for enclaves: at most {} of one node can be spared here",
                              plan.cpus, most_cpus),
                  "--cpus with fewer, or a larger instance");
  if (most_memory <= plan.memory_mib)
    return refuse(ErrorKind::invalid,
                  fmt::format("{} MiB for enclaves: a node has {} here, and the machine needs some",
                              plan.memory_mib, most_memory),
                  "--memory with less, or a larger instance");
  if (most_free < plan.memory_mib)
    plan.notes.push_back(fmt::format(
        "{} MiB are free at the moment: if the allocator does not find {}, end programs, or reboot",
        most_free, plan.memory_mib));
  return {};
}

std::string change_of(const NitroHost& host, const HostPlan& plan) {
  auto before = parse_allocator(host.allocator_text.value_or(""));
  auto from = [](std::uint64_t old, std::uint64_t now) {
    return old == now ? std::to_string(now) : fmt::format("{} → {}", old, now);
  };
  if (!before) return fmt::format("memory_mib {}, cpu_count {}", plan.memory_mib, plan.cpus);
  return fmt::format("memory_mib {}, processors {}", from(before->memory_mib.value_or(0), plan.memory_mib),
                     from(before->cpus(), plan.cpus));
}

bool is_set_aside(const NitroHost& host, const HostPlan& plan) {
  const auto* node = host.pool_node();
  return node != nullptr && node->hugepage_mib() >= plan.memory_mib && host.cpu_pool.size() >= plan.cpus;
}

Status add_allocator_steps(const HostFacts& facts, const HostWish& wish, HostPlan& plan) {
  auto old = facts.nitro.allocator_text.value_or("");
  auto config = parse_allocator(old);
  auto cpus = wish.cpus != 0 || !config ? std::optional(plan.cpus) : std::nullopt;
  bool same = config && config->memory_mib == plan.memory_mib && (!cpus || config->cpus() == *cpus);
  if (!same) {
    auto text = edit_allocator(old, plan.memory_mib, cpus);
    TRY(parse_allocator(text)
            .context(kAllocatorFile)
            .with_hint("the allocator stops there: remove that line"));
    auto kept = facts.nitro.allocator_text ? fmt::format("; the file as it was: {}", kAllocatorBackup) : "";
    plan.steps.push_back(
        {.what = fmt::format("write {}: {}{}", kAllocatorFile, change_of(facts.nitro, plan), kept),
         .command = {},
         .file = kAllocatorFile,
         .text = std::move(text)});
  }
  if (!facts.unit_enabled)
    plan.steps.push_back({.what = "at every boot, when memory is not yet in pieces",
                          .command = {"systemctl", "enable", kAllocatorUnit},
                          .file = {},
                          .text = {}});
  if (same && facts.unit_active && is_set_aside(facts.nitro, plan)) return {};
  if (facts.running_enclaves > 0)
    return refuse(
        ErrorKind::unavailable,
        fmt::format("{} enclave(s) run, and nothing can be set aside meanwhile", facts.running_enclaves),
        "end them first: cloister down, or nitro-cli terminate-enclave --all");
  plan.steps.push_back(
      {.what = "now", .command = {"systemctl", "restart", kAllocatorUnit}, .file = {}, .text = {}});
  return {};
}

Status add_user_steps(const HostFacts& facts, const HostWish& wish, HostPlan& plan) {
  if (wish.user.empty() || wish.user == "root") return {};
  if (!facts.user_exists)
    return fail(ErrorKind::invalid, "there is no user '{}'", escape_controls(wish.user));
  if (facts.user_is_member) return {};
  plan.steps.push_back({.what = fmt::format("{} may start enclaves, from the next login on", wish.user),
                        .command = {"usermod", "-aG", kNitroGroup, wish.user},
                        .file = {},
                        .text = {}});
  return {};
}

}  // namespace

Result<HostPlan> plan_host(const HostFacts& facts, const HostWish& wish) {
  TRY(check_machine(facts));
  auto plan = TRY(sizes(facts, wish));
  TRY(check_sizes(facts.nitro, plan));
  if (!facts.nitro.module_loaded)
    plan.steps.push_back(
        {.what = "load the driver", .command = {"modprobe", "nitro_enclaves"}, .file = {}, .text = {}});
  if (!facts.group_exists)
    plan.steps.push_back({.what = "the group whose members may start enclaves",
                          .command = {"groupadd", "-f", kNitroGroup},
                          .file = {},
                          .text = {}});
  // nitro-cli's package has a udev rule that does it at every boot.
  if (facts.nitro.device && facts.nitro.device_group != kNitroGroup)
    plan.steps.push_back({.what = "let that group use the driver",
                          .command = {"chgrp", kNitroGroup, kNitroDevice},
                          .file = {},
                          .text = {}});
  TRY(add_allocator_steps(facts, wish, plan));
  TRY(add_user_steps(facts, wish, plan));
  return plan;
}

Status check_host(const NitroHost& host, const HostPlan& plan, const std::string& said) {
  if (said.empty() && host.device && is_set_aside(host, plan)) return {};
  if (!host.device)
    return refuse(ErrorKind::not_found,
                  "there is no /dev/nitro_enclaves: this instance was launched without enclaves",
                  "launch one with them: aws ec2 run-instances --enclave-options Enabled=true …");
  std::uint64_t got = 0;
  for (const auto& node : host.nodes) got = std::max(got, node.hugepage_mib());
  auto why = said.empty() ? "" : fmt::format(" ({})", escape_controls(said));
  return refuse(
      ErrorKind::exhausted,
      fmt::format("the allocator did not set aside what was asked: {} of {} MiB, {} of {} processors{}", got,
                  plan.memory_mib, host.cpu_pool.size(), plan.cpus, why),
      "reboot: the allocator then runs before memory is in pieces; or ask for less with --memory");
}

}  // namespace cloister::host
