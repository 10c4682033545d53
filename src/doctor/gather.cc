#include "doctor/gather.h"

namespace cloister::doctor {

std::string likely_backend(const Edges& edges, const Asked& asked) {
  if (!asked.backend.empty()) return asked.backend;
  if (host::read_nitro_host(edges.root).device) return "nitro";
  return asked.image.empty() ? "process" : "qemu";
}

Facts gather(const Edges& edges, Asked asked) {
  Facts out;
  asked.backend = likely_backend(edges, asked);
  out.machine = gather_machine(edges.root);
  if (asked.backend == "nitro") out.nitro = gather_nitro(edges, out.machine);
  if (asked.backend == "qemu") out.qemu = gather_qemu(edges);
  if (!asked.image.empty()) out.image = gather_image(asked.image);
  if (!asked.package.empty()) out.package = gather_package(edges, asked.package);
  if (!asked.data.empty()) out.data = gather_data(asked.data);
  out.run_directory = gather_space(edges.paths.run);
  out.running = gather_running(edges, asked.name);
  out.asked = std::move(asked);
  gather_aws(edges, out);
  return out;
}

}  // namespace cloister::doctor
