// What can be wrong with a machine.
#include "doctor/checks_testing.h"

namespace cloister::doctor {

namespace {

void as_user(Facts& f) {
  f.machine.uid = 1000;
  f.machine.user = "alice";
}

}  // namespace

std::vector<Row> machine_rows() {
  using enum Severity;
  return {
      {"kernel 5.4", simulated(),
       [](auto& f) { f.machine.kernel = "5.4.0", f.machine.kernel_major = 5, f.machine.kernel_minor = 4; },
       "kernel", problem, "older than the 5.9", "newer kernel"},
      {"kernel 5.10 simulated", simulated(),
       [](auto& f) { f.machine.kernel_major = 5, f.machine.kernel_minor = 10; }, "kernel", note,
       "folder's owner", ""},
      {"kernel 6.5 simulated", simulated(), [](auto& f) { f.machine.kernel_minor = 5; }, "kernel", note,
       "no user.* attributes", ""},
      {"not root", simulated(), as_user, "root", problem, "you are alice", "sudo -E cloister up --group"},
      {"no user namespaces", simulated(), [](auto& f) { f.machine.user_namespaces = false; },
       "user-namespaces", problem, "off", "max_user_namespaces"},
      {"no Landlock", simulated(), [](auto& f) { f.machine.landlock = false; }, "landlock", warning,
       "a wall less", "lsm="},
      {"no cgroup v2", simulated(), [](auto& f) { f.machine.cgroup_memory = false; }, "cgroup", note,
       "each process", ""},
      {"no python", simulated(), [](auto& f) { f.machine.python = false; }, "python", warning, "python3",
       "apt-get install python3"},
      {"no room for qemu's files", emulated(), [](auto& f) { f.run_directory->free_mib = 60; }, "run-space",
       problem, "takes 72", "CLOISTER_RUN"},
      {"no /dev/fuse", nitro(), [](auto& f) { f.machine.fuse = false; }, "fuse", problem, "/dev/fuse",
       "modprobe fuse"},
      {"no /dev/fuse in docker", simulated(),
       [](auto& f) { f.machine.fuse = false, f.machine.container = true; }, "fuse", problem, "",
       "--device /dev/fuse"},
      {"no fusermount3", nitro(), [](auto& f) { f.machine.fusermount.reset(); }, "fusermount", problem,
       "no fusermount3", "install fuse3"},
      {"fusermount3 not setuid", nitro(), [](auto& f) { f.machine.fusermount = false; }, "fusermount",
       problem, "not setuid", "chmod u+s"},
  };
}

std::vector<Row> enclave_rows() {
  using enum Severity;
  return {
      {"running already", emulated(),
       [](auto& f) { f.running = Running{.alive = true, .proxy = true, .destinations = f.kms_names}; },
       "enclave-name", problem, "running already", "cloister down"},
      {"dead", emulated(), [](auto& f) { f.running = Running{.alive = false}; }, "enclave-name", warning,
       "is dead", "cloister logs"},
      {"damaged image", emulated(), [](auto& f) { f.image->error = "ocr.eif: damaged: its CRC"; },
       "image-file", problem, "CRC", "copy it again"},
      {"no image", emulated(), [](auto& f) { f.asked.image.clear(), f.image.reset(); }, "image-file", problem,
       "boots an image", "--image"},
      {"arm64 image under qemu", emulated(),
       [](auto& f) { f.image->architecture = image::Architecture::arm64; }, "image-architecture", problem,
       "emulated machine", "architecture: x86_64"},
      {"x86 image on Graviton", graviton(),
       [](auto& f) { f.image->architecture = image::Architecture::x86_64; }, "image-architecture", problem,
       "this machine", "architecture: arm64"},
      {"emulated image on Nitro", nitro(), [](auto& f) { f.image->mode = "emulated"; }, "image-mode", problem,
       "mode emulated", "mode: production"},
      {"production image under qemu", emulated(), [](auto& f) { f.image->mode = "production"; }, "image-mode",
       warning, "opens no package", "mode: emulated"},
      {"no QEMU", emulated(),
       [](auto& f) {
         f.qemu.missing = "there is no vhost-device-vsock", f.qemu.hint = "cloister-fetch-qemu";
       },
       "qemu-programs", problem, "vhost-device-vsock", "cloister-fetch-qemu"},
      {"QEMU 7", emulated(), [](auto& f) { f.qemu.version = 7; }, "qemu-version", problem, "QEMU 7",
       "cloister-fetch-qemu"},
      {"QEMU of no version", emulated(), [](auto& f) { f.qemu.version = 0; }, "qemu-version", warning,
       "does not say", "--version"},
      {"no kvm", emulated(), [](auto& f) { f.machine.kvm = false; }, "qemu-kvm", note, "translated", ""},
      {"more processors than there are", emulated(), [](auto& f) { f.asked.cpus = 6; }, "cpus", warning,
       "has 4", "--cpus 4"},
  };
}

std::vector<Row> nitro_rows() {
  using enum Severity;
  return {
      {"no EC2", nitro(),
       [](auto& f) { f.nitro.host.device = false, f.nitro.host.amazon_ec2 = false, f.metadata.reset(); },
       "nitro-device", problem, "no EC2 instance", "--backend qemu"},
      {"no driver", nitro(), [](auto& f) { f.nitro.host.device = false, f.nitro.host.module_loaded = false; },
       "nitro-device", problem, "not loaded", "modprobe"},
      {"not enabled", nitro(), [](auto& f) { f.nitro.host.device = false; }, "nitro-device", problem,
       "not launched with enclaves", "--enclave-options"},
      {"no nitro-cli", nitro(), [](auto& f) { f.nitro.cli = false; }, "nitro-cli", problem, "PATH",
       "aws-nitro-enclaves-cli"},
      {"nitro-cli does not run", nitro(), [](auto& f) { f.nitro.cli_version.clear(); }, "nitro-cli", problem,
       "version", "nitro-cli --version"},
      {"not in group ne", nitro(), [](auto& f) { f.nitro.member = f.nitro.member_now = false; },
       "nitro-group", problem, "not in the group ne", "usermod -aG ne ec2-user"},
      {"in group ne since this login", nitro(), [](auto& f) { f.nitro.member_now = false; }, "nitro-group",
       problem, "before that", "newgrp ne"},
      {"no vsock", nitro(), [](auto& f) { f.machine.vsock = false; }, "nitro-vsock", warning, "/dev/vsock",
       "modprobe vsock"},
      {"no allocator", nitro(), [](auto& f) { f.nitro.host.allocator_text.reset(); }, "allocator", warning,
       "allocator.yaml", "host prepare"},
      {"broken allocator.yaml", nitro(),
       [](auto& f) { f.nitro.host.allocator_text = "---\nmemory_mib: much\n"; }, "allocator", problem,
       "allocator.yaml", "restart"},
      {"allocator has not run", nitro(),
       [](auto& f) { f.nitro.host.allocator_text = "---\nmemory_mib: 8192\ncpu_count: 2\n"; }, "allocator",
       warning, "8192 MiB aside, and 4096 are", "restart nitro-enclaves-allocator"},
      {"allocator's processors", nitro(),
       [](auto& f) { f.nitro.host.allocator_text = "---\nmemory_mib: 4096\ncpu_count: 4\n"; }, "allocator",
       warning, "4 processors aside, and 2 are", "restart"},
      {"odd processors with two threads", nitro(), [](auto& f) { f.asked.cpus = 3; }, "cpus", problem,
       "whole cores", "--cpus 4"},
      {"too few processors", nitro(), [](auto& f) { f.asked.cpus = 4; }, "cpus", problem, "this one wants 4",
       "host prepare --cpus 4"},
      {"no processors", nitro(),
       [](auto& f) {
         f.nitro.host.cpu_pool.clear(), f.nitro.host.allocator_text = "---\nmemory_mib: 4096\ncpu_count: 0\n";
       },
       "cpus", problem, "no processors", "host prepare --cpus 2"},
  };
}

}  // namespace cloister::doctor
