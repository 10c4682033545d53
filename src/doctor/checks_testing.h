// Machines on which everything is as it should be, and what a row of the tests says of one on which it is
// not.
#pragma once

#include <functional>
#include <vector>

#include "doctor/checks.h"

namespace cloister::doctor {

inline constexpr std::uint64_t kMib = 1024 * 1024;

inline Facts simulated() {
  Facts out;
  out.region = "eu-central-1";
  out.credentials = Credentials{.source = "the environment", .seconds_left = 3600};
  out.run_directory = Space{.path = "/run/cloister", .free_mib = 500};
  out.kms_names = {"kms.eu-central-1.amazonaws.com:443"};
  out.kms = Kms{.host = "kms.eu-central-1.amazonaws.com", .ahead_seconds = 0};
  return out;
}

// docs/images.md's image, and work for it.
inline Facts with_image(const char* backend) {
  auto out = simulated();
  out.asked = {
      .backend = backend, .image = "ocr.eif", .package = "ocr.cloister", .data = "photos", .starting = true};
  out.image = Image{
      .mode = std::string_view(backend) == "nitro" ? "production" : "emulated",
      .file_bytes = 56 * kMib,
      .memory_mib = 2048,
      .cpus = 2,
      .footprint = {.packed_bytes = 53 * kMib, .content_bytes = 157 * kMib, .unpacked_bytes = 165 * kMib}};
  out.package = Package{
      .name = "ocr 1", .content_bytes = 20 * kMib, .memory_limit_mib = 4096, .region = "eu-central-1"};
  out.data = Data{.files = 12, .bytes = 100 * kMib};
  return out;
}

inline host::NumaNode node(unsigned index, std::uint64_t pages, std::uint64_t free) {
  return {.index = index,
          .memory_mib = 16384,
          .free_mib = 8192,
          .hugepages = {{.page_kib = 2048, .total = pages, .free = free}}};
}

inline Facts emulated() {
  return with_image("qemu");
}

// An m5.xlarge: one node, two threads to a core.
inline Facts nitro() {
  auto out = with_image("nitro");
  out.machine.uid = 1000;
  out.machine.user = "ec2-user";
  out.nitro.cli_version = "1.4.2";
  out.nitro.host = {.amazon_ec2 = true,
                    .device = true,
                    .device_group = "ne",
                    .module_loaded = true,
                    .allocator_text = "---\nmemory_mib: 4096\ncpu_count: 2\n",
                    .threads_per_core = 2,
                    .cpus = {0, 1, 2, 3},
                    .cpu_pool = {1, 3},
                    .nodes = {node(0, 2048, 2048)},
                    .cpu_nodes = {{0, 0}, {1, 0}, {2, 0}, {3, 0}}};
  out.metadata = Metadata{};
  return out;
}

// A Graviton of two nodes: one thread to a core, the pool on node 1.
inline Facts graviton() {
  auto out = nitro();
  out.machine.architecture = image::Architecture::arm64;
  out.image->architecture = image::Architecture::arm64;
  out.nitro.host.threads_per_core = 1;
  out.nitro.host.nodes = {node(0, 0, 0), node(1, 2048, 2048)};
  out.nitro.host.cpu_nodes = {{0, 0}, {1, 1}, {2, 0}, {3, 1}};
  return out;
}

inline Facts ran(Facts facts) {
  facts.asked.starting = false;
  facts.running =
      Running{.alive = true, .backend = facts.asked.backend, .proxy = true, .destinations = facts.kms_names};
  return facts;
}

struct Row {
  const char* what;
  Facts facts;
  std::function<void(Facts&)> change;
  const char* id;
  Severity severity;
  const char* said;    // a part of the sentence
  const char* mended;  // a part of what to type
};

// By what they are about; each in a file of its own.
std::vector<Row> machine_rows();
std::vector<Row> enclave_rows();
std::vector<Row> nitro_rows();
std::vector<Row> memory_rows();
std::vector<Row> aws_rows();

}  // namespace cloister::doctor
