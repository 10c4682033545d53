#include "host/qemu_programs.h"

#include <unistd.h>

#include <sstream>

#include "sys/program.h"

namespace cloister::host {

namespace {

constexpr const char* kQemu = "qemu-system-x86_64";
constexpr const char* kVsockDevice = "vhost-device-vsock";
constexpr unsigned kNsmVirtioId = 33;  // VIRTIO_ID_NITRO_SEC_MOD
constexpr unsigned kGuestCid = 16;     // seen by the guest alone: each machine has a vsock device of its own
constexpr unsigned kParentCid = 2;     // where vhost-device-vsock passes connections on to unix sockets
constexpr unsigned kVsockBuffer =
    16384;  // bytes; with the default of 65536 a large send hangs (version 0.3.0)

bool runs(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

std::vector<std::string> places(const Environment& environment) {
  std::vector<std::string> out;
  if (auto chosen = environment("CLOISTER_QEMU"); chosen && !chosen->empty()) return {*chosen + "/bin"};
  out.push_back(std::string(kQemuDirectory) + "/bin");
  std::istringstream path(environment("PATH").value_or(""));
  for (std::string directory; std::getline(path, directory, ':');) {
    if (directory.starts_with('/')) out.push_back(directory);
  }
  return out;
}

Result<std::string> find(const std::vector<std::string>& directories, std::string_view name) {
  for (const auto& directory : directories) {
    auto path = fmt::format("{}/{}", directory, name);
    if (runs(path)) return path;
  }
  Error error(ErrorKind::not_found, fmt::format("there is no {}", name));
  return std::unexpected(std::move(error).with_hint(fmt::format(
      "cloister-fetch-qemu unpacks it into {} (in a source tree: packaging/qemu/fetch.sh DIR, then "
      "CLOISTER_QEMU=DIR)",
      kQemuDirectory)));
}

}  // namespace

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::kvm ? "kvm" : "tcg";
}

Result<QemuPrograms> find_qemu_programs(const Environment& environment) {
  auto directories = places(environment);
  return QemuPrograms{.qemu = TRY(find(directories, kQemu)),
                      .vsock_device = TRY(find(directories, kVsockDevice)),
                      .security_module = TRY(sys::beside_this_program("cloister-nsm"))};
}

Command security_module_command(const Machine& machine) {
  Command out{machine.programs.security_module, "--socket",    machine.module_path(), "--development-root",
              machine.development_root,         "--module-id", machine.module_id};
  for (const auto& [index, value] : machine.pcrs)
    out.insert(out.end(), {"--pcr", fmt::format("{}={}", index, to_hex(value))});
  return out;
}

Command vsock_device_command(const Machine& machine) {
  return {machine.programs.vsock_device, "--vm",
          fmt::format("guest-cid={},socket={},uds-path={},tx-buffer-size={}", kGuestCid, machine.vhost_path(),
                      machine.vsock_path(), kVsockBuffer)};
}

// A microvm: what a Nitro enclave has (virtio over MMIO, a serial console), and no PCI, ACPI, disk or
// network.
Command machine_command(const Machine& machine) {
  auto memory = fmt::format("{}M", machine.memory_mib);
  auto kvm = machine.accelerator == Accelerator::kvm;
  // Not measured, on Nitro either: it can say where the parent is, and how a machine without a keyboard
  // controller restarts.
  auto appended = fmt::format("{} reboot=t cloister.parent_cid={}", machine.command_line, kParentCid);
  return {
      machine.programs.qemu,
      "-M",
      "microvm,acpi=off,pcie=off,rtc=off,memory-backend=memory,auto-kernel-cmdline=on",
      "-accel",
      std::string(to_string(machine.accelerator)),
      "-cpu",
      kvm ? "host" : "max",
      "-smp",
      std::to_string(machine.cpus),
      "-m",
      memory,
      "-object",
      fmt::format("memory-backend-memfd,id=memory,size={},share=on", memory),
      "-kernel",
      machine.kernel,
      "-initrd",
      machine.initrd,
      "-append",
      appended,
      "-chardev",
      fmt::format("socket,id=vsock,path={}", machine.vhost_path()),
      "-device",
      "vhost-user-vsock-device,chardev=vsock",
      "-chardev",
      fmt::format("socket,id=module,path={}", machine.module_path()),
      "-device",
      fmt::format("vhost-user-test-device,chardev=module,virtio-id={},num_vqs=1,config_size=0", kNsmVirtioId),
      "-serial",
      machine.console.empty() ? "null" : "file:" + machine.console,
      "-display",
      "none",
      "-monitor",
      "none",
      "-no-reboot",
      "-nodefaults",
      "-no-user-config",
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"};
}

}  // namespace cloister::host
