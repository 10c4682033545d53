// What a real enclave takes: the driver, nitro-cli, the group, and what the allocator has set aside.
#include <fmt/format.h>

#include <algorithm>

#include "doctor/checks.h"
#include "host/allocator.h"

namespace cloister::doctor {

namespace {

// EnclaveOptions are of RunInstances and of nothing later (Amazon EC2 API Reference).
constexpr const char* kEnableHint =
    "launch another with enclaves: aws ec2 run-instances --enclave-options Enabled=true …";

void check_device(const Nitro& nitro, Findings& out) {
  if (nitro.host.device) {
    out.fine("nitro-device", "/dev/nitro_enclaves is there");
  } else if (!nitro.host.amazon_ec2) {
    out.problem("nitro-device", "this is no EC2 instance: there is no /dev/nitro_enclaves",
                "start it on one, or try the image here: cloister up --backend qemu");
  } else if (!nitro.host.module_loaded) {
    out.problem("nitro-device",
                "there is no /dev/nitro_enclaves, and the driver nitro_enclaves is not loaded",
                "sudo modprobe nitro_enclaves; it is part of Linux since 5.10 (CONFIG_NITRO_ENCLAVES)");
  } else {
    out.problem("nitro-device",
                "the driver is loaded and finds no enclave device: this instance was not launched with "
                "enclaves enabled",
                kEnableHint);
  }
}

void check_cli(const Nitro& nitro, Findings& out) {
  if (!nitro.cli)
    out.problem("nitro-cli", "there is no nitro-cli on the PATH",
                "sudo dnf install aws-nitro-enclaves-cli (Amazon Linux 2023)");
  else if (nitro.cli_version.empty())
    out.problem("nitro-cli", "nitro-cli is there and does not say its version", "nitro-cli --version");
  else
    out.fine("nitro-cli", fmt::format("nitro-cli {}", nitro.cli_version));
}

void check_group(const Facts& facts, Findings& out) {
  const auto& nitro = facts.nitro;
  const auto& group = nitro.host.device_group;
  if (facts.machine.uid == 0 || group.empty() || group == "root") return;
  if (nitro.member_now)
    out.fine("nitro-group", fmt::format("you are in the group {}", group));
  else if (nitro.member)
    out.problem(
        "nitro-group",
        fmt::format("{} is in the group {}, but this login began before that", facts.machine.user, group),
        fmt::format("log in again, or: newgrp {}", group));
  else
    out.problem("nitro-group",
                fmt::format("{} is not in the group {}, which may open /dev/nitro_enclaves",
                            facts.machine.user, group),
                fmt::format("sudo usermod -aG {} {}, then log in again", group, facts.machine.user));
}

// The file says what should be set aside at boot, the kernel what is.
void check_allocator(const Facts& facts, Findings& out) {
  const auto& host = facts.nitro.host;
  if (!host.allocator_text) {
    out.warn("allocator", fmt::format("there is no {}", host::kAllocatorFile),
             "sudo cloister host prepare --memory MIB --cpus N");
    return;
  }
  auto config = host::parse_allocator(*host.allocator_text);
  if (!config) {
    out.problem("allocator", fmt::format("{}: {}", host::kAllocatorFile, config.error().message()),
                "mend that line, then: sudo systemctl restart nitro-enclaves-allocator");
    return;
  }
  std::uint64_t aside = 0;
  for (const auto& node : host.nodes) aside += node.hugepage_mib();
  auto wanted = config->memory_mib.value_or(0);
  if (aside < wanted)
    out.warn("allocator",
             fmt::format("the allocator is to set {} MiB aside, and {} are: it has not run since, or free "
                         "memory was in pieces",
                         wanted, aside),
             "sudo systemctl restart nitro-enclaves-allocator; if that fails, reboot: memory is whole then");
  else if (host.cpu_pool.size() < config->cpus())
    out.warn("allocator",
             fmt::format("the allocator is to set {} processors aside, and {} are", config->cpus(),
                         host.cpu_pool.size()),
             "sudo systemctl restart nitro-enclaves-allocator");
  else
    out.fine("allocator", fmt::format("{} MiB and {} processors are set aside", aside, host.cpu_pool.size()));
}

void check_cpus(const Facts& facts, Findings& out) {
  const auto& host = facts.nitro.host;
  auto cpus = facts.asked.cpus != 0 ? facts.asked.cpus : facts.image ? facts.image->cpus : 0;
  auto threads = host.threads_per_core;
  if (facts.asked.cpus != 0 && facts.asked.cpus % threads != 0) {
    out.problem("cpus", fmt::format("{} processors are not whole cores: each has {} here", cpus, threads),
                fmt::format("--cpus {}", (cpus + threads - 1) / threads * threads));
    return;
  }
  cpus = (cpus + threads - 1) / threads * threads;
  if (host.cpu_pool.empty())
    out.problem("cpus", "no processors are set aside for enclaves",
                fmt::format("sudo cloister host prepare --cpus {}", std::max<std::uint64_t>(cpus, threads)));
  else if (host.cpu_pool.size() < cpus)
    out.problem(
        "cpus",
        fmt::format("{} processors are set aside for enclaves, and this one wants {}", host.cpu_pool.size(),
                    cpus),
        fmt::format("sudo cloister host prepare --cpus {}, or --cpus {}", cpus, host.cpu_pool.size()));
  else
    out.fine("cpus", fmt::format("{} processors are set aside", host.cpu_pool.size()));
}

}  // namespace

void check_nitro(const Facts& facts, Findings& out) {
  check_device(facts.nitro, out);
  check_cli(facts.nitro, out);
  if (!facts.nitro.host.device) return;  // the rest follows from it
  check_group(facts, out);
  if (facts.machine.vsock)
    out.fine("nitro-vsock", "/dev/vsock is there");
  else
    out.warn("nitro-vsock", "there is no /dev/vsock: nothing can connect to an enclave without it",
             "sudo modprobe vsock");
  check_allocator(facts, out);
  check_cpus(facts, out);
}

}  // namespace cloister::doctor
