#include "host/qemu_backend.h"

#include <fcntl.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "host/image_footprint.h"
#include "host/qemu_machine.h"
#include "image/eif.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::size_t kModuleIdBytes = 8;
constexpr std::size_t kMaxBootId = 128;  // bytes
constexpr std::uint32_t kControlPort = 5000;
constexpr std::uint32_t kLanePort = 5001;
constexpr std::uint32_t kProxyPort = 8001;

Status check_options(const UpOptions& options) {
  if (options.image.empty()) {
    Error error(ErrorKind::invalid, "the qemu backend boots an image");
    return std::unexpected(std::move(error).with_hint(
        "cloister up --backend qemu --image enclave.eif (made by: cloister image build)"));
  }
  if (!options.group.empty())
    return fail(ErrorKind::invalid,
                "--group is for the process backend: an emulated machine shows a real image's "
                "measurements, so it is believed by whoever started it alone");
  if (options.share_mib != 0 || options.share_budget_mib != 0)
    return fail(ErrorKind::invalid,
                "--share-mib and --share-budget-mib are for the process backend: a machine's "
                "folders have half of its --memory");
  if (options.memory_mib > kMaxMachineMib)
    return fail(ErrorKind::invalid, "--memory is at most {}", kMaxMachineMib);
  if (!options.accelerator.empty() && options.accelerator != to_string(Accelerator::kvm) &&
      options.accelerator != to_string(Accelerator::tcg))
    return fail(ErrorKind::invalid, "--accelerator is kvm or tcg, not '{}'", options.accelerator);
  if (options.cpus > kMaxMachineCpus)
    return fail(ErrorKind::invalid, "--cpus is at most {}", kMaxMachineCpus);
  return {};
}

Status check_directory(const std::string& directory) {
  if (directory.find(',') == std::string::npos) return {};
  Error error(ErrorKind::invalid,
              fmt::format("{} has a comma in its name, which QEMU's options cannot say", directory));
  return std::unexpected(std::move(error).with_hint("set CLOISTER_RUN to another directory"));
}

Result<sys::Fd> create(const std::string& path) {
  sys::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno(path);
  return file;
}

// The image's parts as files, until the machine has read them or did not come up: what it would need them for
// again, a reboot, it does not do.
struct Parts {
  explicit Parts(const Machine& of) : machine(of) {}
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    ::unlink(machine.kernel.c_str());
    ::unlink(machine.initrd.c_str());
  }
  const Machine& machine;
};

// An image is kernel, command line and ramdisks; QEMU's microvm wants them apart.
Status take_apart(const image::Eif& image, const Machine& machine) {
  auto kernel = TRY(create(machine.kernel));
  TRY(image.copy_section(image.kernel(), kernel.get()));
  auto initrd = TRY(create(machine.initrd));
  for (const auto& ramdisk : image.ramdisks()) TRY(image.copy_section(ramdisk, initrd.get()));
  return {};
}

Result<Machine> plan_machine(const Paths& paths, const Environment& environment, const UpOptions& options,
                             const image::Eif& image, const attestation::Measurements& measurements) {
  Machine out;
  out.programs = TRY(find_qemu_programs(environment));
  out.directory = paths.enclave(options.name);
  TRY(check_directory(out.directory));
  out.kernel = out.directory + "/kernel";
  out.initrd = out.directory + "/initrd";
  out.command_line = TRY(image.command_line());
  out.memory_mib = options.memory_mib != 0 ? options.memory_mib : image.default_memory() / kMib;
  TRY(check_memory(image, out.memory_mib));
  out.cpus = options.cpus != 0 ? options.cpus : std::min(image.default_cpus(), kMaxMachineCpus);
  out.module_id = fmt::format("i-{}-enc{}", "emulated", to_hex(crypto::random_bytes(kModuleIdBytes)));
  out.development_root = paths.development_root();
  if (options.debug) out.console = enclave_console_path(paths, options.name);
  if (!options.debug) out.pcrs = measurements.pcrs;
  return out;
}

EnclaveRecord make_record(const UpOptions& options, const Machine& machine,
                          const attestation::Measurements& measurements) {
  EnclaveRecord record;
  record.name = options.name;
  record.backend = "qemu";
  record.mode = options.debug ? "emulated, debug" : "emulated";
  record.control = {.kind = sys::Endpoint::Kind::vsock_over_unix,
                    .host = {},
                    .path = machine.vsock_path(),
                    .port = kControlPort};
  record.lanes = record.control;
  record.lanes.port = kLanePort;
  record.proxy = sys::Endpoint::unix_socket(fmt::format("{}_{}", machine.vsock_path(), kProxyPort));
  record.measurements = measurements;
  return record;
}

// What was learnt of /dev/kvm holds until this machine boots again.
std::string kvm_note_path(const Paths& paths) {
  return paths.state + "/kvm-does-not-boot";
}

std::string boot_id() {
  auto bytes = sys::read_file("/proc/sys/kernel/random/boot_id", kMaxBootId);
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

bool kvm_is_worth_a_try(const Paths& paths) {
  if (::access("/dev/kvm", R_OK | W_OK) != 0) return false;
  auto note = sys::read_file(kvm_note_path(paths), kMaxBootId);
  return !note || as_text(*note) != boot_id();
}

// One try. The record gets the process that stands for the machine.
Status boot(const Machine& machine, sys::milliseconds timeout, const std::string& log,
            const HeldSignals& held, EnclaveRecord& record) {
  record.pid = TRY(fork_in_background([&] { return run_machine(machine); }, log));
  record.started = process_start_time(record.pid);
  // Connections that come before the guest's driver can leave the vsock device deaf for good
  // (vhost-device-vsock 0.3.0).
  auto up = await_start({record.pid, record.control, machine.booted_path()}, timeout, log, held);
  if (!up) TRY(stop_in_background(record.pid, record.started, kStopTimeout));
  return up;
}

Status boot_somehow(const Paths& paths, const std::string& accelerator, Machine& machine,
                    const HeldSignals& held, EnclaveRecord& record) {
  auto log = enclave_log_path(paths, record.name);
  bool asked = accelerator == to_string(Accelerator::kvm);
  if (asked || (accelerator.empty() && kvm_is_worth_a_try(paths))) {
    machine.accelerator = Accelerator::kvm;
    auto up = boot(machine, kKvmBootTimeout, log, held, record);
    if (up || asked || held.came()) return up;
    TRY(sys::write_file_atomic(kvm_note_path(paths), as_bytes(boot_id())));
  }
  machine.accelerator = Accelerator::tcg;
  return boot(machine, kTcgBootTimeout, log, held, record);
}

}  // namespace

Result<EnclaveRecord> start_qemu_enclave(const Paths& paths, const Environment& environment,
                                         const UpOptions& options, const HeldSignals& held) {
  TRY(check_options(options));
  auto image = TRY(image::Eif::open(options.image));
  if (image.architecture() != image::Architecture::x86_64)
    return fail(ErrorKind::invalid, "{} is for arm64; this backend boots x86-64 images", options.image);
  auto measurements = TRY(image::measure_eif(image));
  auto machine = TRY(plan_machine(paths, environment, options, image, measurements));
  TRY(sys::make_directories(paths.state, 0755));
  TRY(make_run_directory(machine.directory));
  const Parts parts{machine};
  TRY(take_apart(image, machine));
  auto record = make_record(options, machine, measurements);
  TRY(boot_somehow(paths, options.accelerator, machine, held, record));
  auto root = TRY(sys::read_file(paths.development_root() + "/root.pem", kMaxRecord));
  record.root_pem = std::string(as_text(root));
  return record;
}

}  // namespace cloister::host
