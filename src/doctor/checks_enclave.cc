#include <fmt/format.h>

#include "doctor/checks.h"
#include "host/qemu_programs.h"

namespace cloister::doctor {

namespace {

constexpr unsigned kQemuVersion = 11;  // the first with vhost-user-test-device

void check_name(const Facts& facts, Findings& out) {
  const auto& name = facts.asked.name;
  if (!facts.running) {
    out.fine("enclave-name", fmt::format("no enclave named '{}' is running", name));
  } else if (!facts.running->alive) {
    out.warn("enclave-name", fmt::format("enclave '{}' is dead", name),
             fmt::format("cloister logs --name {0}; cloister down --name {0}", name));
  } else if (facts.asked.starting) {
    out.problem("enclave-name", fmt::format("enclave '{}' is running already", name),
                fmt::format("cloister down --name {}, or start this one with --name OTHER", name));
  } else {
    out.fine("enclave-name", fmt::format("enclave '{}' is running ({})", name, facts.running->backend));
  }
}

void check_mode(const Facts& facts, const Image& image, Findings& out) {
  const auto& mode = image.mode;
  const auto& backend = facts.asked.backend;
  if (mode == "emulated" && backend == "nitro")
    out.problem("image-mode",
                "the image is of mode emulated: on Nitro it would look for the embedded KMS, and open no "
                "package of AWS's",
                "build it with mode: production in its recipe");
  else if (mode == "production" && backend == "qemu")
    out.warn("image-mode",
             "the image is of mode production: it boots here, and opens no package, since AWS KMS gives keys "
             "to Nitro alone",
             "to try applications, build it with mode: emulated and --kms-ca \"$AWS_CA_BUNDLE\"");
  else if (!mode.empty())
    out.fine("image-mode", fmt::format("the image says that it is of mode {}", mode));
}

void check_image(const Facts& facts, const Image& image, Findings& out) {
  if (!image.error.empty()) {
    out.problem("image-file", image.error,
                image.hint.empty() ? "copy it again and compare: cloister image measure FILE" : image.hint);
    return;
  }
  out.fine("image-file", fmt::format("{} is whole", facts.asked.image));
  bool qemu = facts.asked.backend == "qemu";
  auto wanted = qemu ? image::Architecture::x86_64 : facts.machine.architecture;
  if (image.architecture != wanted)
    out.problem("image-architecture",
                fmt::format("the image is for {}, and {} for {}", to_string(image.architecture),
                            qemu ? "the emulated machine is" : "this machine is", to_string(wanted)),
                fmt::format("build it with architecture: {} in its recipe", to_string(wanted)));
  else
    out.fine("image-architecture", fmt::format("the image is for {}", to_string(wanted)));
  check_mode(facts, image, out);
}

void check_qemu(const Facts& facts, Findings& out) {
  const auto& qemu = facts.qemu;
  if (!qemu.missing.empty()) {
    out.problem("qemu-programs", qemu.missing, qemu.hint);
  } else {
    out.fine("qemu-programs", "qemu-system-x86_64, vhost-device-vsock and cloister-nsm are there");
    if (qemu.version == 0)
      out.warn("qemu-version", "qemu-system-x86_64 does not say its version", "qemu-system-x86_64 --version");
    else if (qemu.version < kQemuVersion)
      out.problem("qemu-version",
                  fmt::format("QEMU {} cannot give a machine a security module: that takes QEMU {}",
                              qemu.version, kQemuVersion),
                  fmt::format("cloister-fetch-qemu unpacks it into {}", host::kQemuDirectory));
    else
      out.fine("qemu-version", fmt::format("QEMU {}", qemu.version));
  }
  if (facts.machine.kvm)
    out.fine("qemu-kvm", "/dev/kvm may be opened");
  else
    out.note("qemu-kvm", "no /dev/kvm for you: the machine is translated, and computes slowly");
  auto cpus = facts.asked.cpus != 0 ? facts.asked.cpus : facts.image ? facts.image->cpus : 0;
  if (cpus > facts.machine.cpus)
    out.warn("cpus",
             fmt::format("{} processors on a machine that has {}: the enclave's get in each other's way",
                         cpus, facts.machine.cpus),
             fmt::format("--cpus {}", facts.machine.cpus));
  else if (cpus != 0)
    out.fine("cpus", fmt::format("{} of this machine's {} processors", cpus, facts.machine.cpus));
}

}  // namespace

void check_enclave(const Facts& facts, Findings& out) {
  check_name(facts, out);
  if (facts.asked.backend != "process" && facts.asked.image.empty() && facts.asked.starting)
    out.problem("image-file",
                fmt::format("the {} backend boots an image, and none is named", facts.asked.backend),
                "cloister doctor --image FILE.eif (made by: cloister image build)");
  if (facts.image) check_image(facts, *facts.image, out);
  if (facts.asked.backend == "qemu") check_qemu(facts, out);
}

}  // namespace cloister::doctor
