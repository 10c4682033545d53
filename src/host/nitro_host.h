// What there is on this machine for Nitro enclaves: the driver, and the memory and processors that the
// allocator has set aside. Facts only; nothing here judges or changes anything.
#pragma once

#include "host/allocator.h"

namespace cloister::host {

inline constexpr const char* kNitroDevice = "/dev/nitro_enclaves";

struct HugepagePool {
  std::uint64_t page_kib = 0;
  std::uint64_t total = 0;  // pages
  std::uint64_t free = 0;   // pages
};

// An enclave's memory and processors are all of one node.
struct NumaNode {
  unsigned index = 0;
  std::uint64_t memory_mib = 0;
  std::uint64_t free_mib = 0;  // of what is not set aside
  std::vector<HugepagePool> hugepages;

  std::uint64_t hugepage_mib() const;       // set aside, used by enclaves or not
  std::uint64_t free_hugepage_mib() const;  // left for another enclave
};

struct NitroHost {
  bool amazon_ec2 = false;  // the firmware says so (sys_vendor)
  bool device = false;      // /dev/nitro_enclaves: the driver found an instance started with enclaves enabled
  std::string device_group;                   // its group's name or number; empty: no device
  bool module_loaded = false;                 // nitro_enclaves, built in or loaded
  std::optional<std::string> allocator_text;  // absent: no such file
  unsigned threads_per_core = 1;              // processors of one core go to an enclave together
  std::vector<unsigned> cpus;                 // present ones, those of the pool included
  std::vector<unsigned> cpu_pool;             // taken off line for enclaves, used or not
  std::vector<NumaNode> nodes;
  std::vector<std::pair<unsigned, unsigned>> cpu_nodes;  // processor → node

  // What an enclave could have at most: the node of the pool's processors; absent: there is no pool, or it
  // has no node.
  const NumaNode* pool_node() const;
  const NumaNode* node(unsigned index) const;
};

// `root` is put before every path: "" for this machine.
NitroHost read_nitro_host(const std::string& root = "");

}  // namespace cloister::host
