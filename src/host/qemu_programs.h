// The programs of a machine under QEMU, and their command lines. Nothing here starts anything.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "attestation/document.h"
#include "host/paths.h"

namespace cloister::host {

// What `cloister-fetch-qemu` unpacks (packaging/qemu/fetch.sh), and where it puts it unless told otherwise.
inline constexpr const char* kQemuDirectory = "/usr/local/lib/cloister/qemu";

struct QemuPrograms {
  std::string qemu;             // qemu-system-x86_64, 11 or newer: with vhost-user-test-device
  std::string vsock_device;     // vhost-device-vsock
  std::string security_module;  // cloister-nsm, beside this program
};

// In bin/ of $CLOISTER_QEMU, else of kQemuDirectory, else on the PATH. not_found: which one is missing, and
// the command that brings it.
Result<QemuPrograms> find_qemu_programs(const Environment& environment);

// kvm: the processor's own virtualisation. tcg: translation, for machines whose /dev/kvm is none.
enum class Accelerator { kvm, tcg };
std::string_view to_string(Accelerator accelerator);

struct Machine {
  QemuPrograms programs;
  Accelerator accelerator = Accelerator::tcg;
  std::string directory;     // for sockets; its path has no comma (QEMU's options are lists)
  std::string kernel;        // file
  std::string initrd;        // file: the image's ramdisks, one after the other
  std::string command_line;  // the image's
  std::string console;       // file for what it prints; empty: nobody hears it
  std::uint64_t memory_mib = 0;
  std::uint64_t cpus = 0;
  std::string module_id;
  std::string development_root;               // directory
  std::map<unsigned, attestation::Pcr> pcrs;  // empty: a debug machine's, which are zero

  std::string vsock_path() const { return directory + "/vm.vsock"; }
  std::string vhost_path() const { return directory + "/vhost.sock"; }
  std::string booted_path() const { return directory + "/booted"; }  // an empty file: the heartbeat has come
  std::string module_path() const { return directory + "/nsm.sock"; }
};

using Command = std::vector<std::string>;
Command security_module_command(const Machine& machine);
Command vsock_device_command(const Machine& machine);
Command machine_command(const Machine& machine);

}  // namespace cloister::host
