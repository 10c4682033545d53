#include "host/nitro_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "host/image_footprint.h"
#include "host/nitro_host.h"
#include "image/eif.h"
#include "sys/endpoint.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kMaxMib = 64ULL * 1024 * 1024;  // 64 TiB
constexpr std::uint64_t kMaxCpus = 4096;
constexpr std::uint64_t kFirstCid = 4;
constexpr std::uint64_t kLastCid = 0xfffffffe;
constexpr std::uint32_t kParentCid = 3;  // of every parent on Nitro
constexpr std::uint32_t kControlPort = 5000;
constexpr std::uint32_t kLanePort = 5001;
constexpr std::uint32_t kProxyPort = 8001;
constexpr sys::milliseconds kTurnTimeout = sys::seconds(300);  // for another `up` to end
constexpr sys::milliseconds kConnectTry = sys::seconds(2);
constexpr sys::milliseconds kConsoleGrace = sys::seconds(2);
constexpr int kPause = 50;  // milliseconds between two tries
#ifdef __aarch64__
constexpr auto kThisProcessor = image::Architecture::arm64;
#else
constexpr auto kThisProcessor = image::Architecture::x86_64;
#endif

Status check_options(const UpOptions& options) {
  if (options.image.empty()) {
    Error error(ErrorKind::invalid, "the nitro backend boots an image");
    return std::unexpected(std::move(error).with_hint(
        "cloister up --backend nitro --image enclave.eif (made by: cloister image build)"));
  }
  if (options.share_mib != 0 || options.share_budget_mib != 0)
    return fail(ErrorKind::invalid,
                "--share-mib and --share-budget-mib are for the process backend: an enclave's folders have "
                "half of its "
                "--memory");
  if (!options.accelerator.empty()) return fail(ErrorKind::invalid, "--accelerator is for the qemu backend");
  return {};
}

std::string nitro_name(const std::string& name) {
  return "cloister-" + name;
}

// nitro-cli waits for one heartbeat at a time, on one port of the parent: a second start would fail (E36).
// Held until the enclave has booted.
Result<sys::Fd> wait_for_turn(const Paths& paths, const HeldSignals& held) {
  auto path = paths.run + "/.nitro.lock";
  sys::Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno(path);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  auto deadline = sys::Deadline::after(kTurnTimeout);
  while (::fcntl(lock.get(), F_SETLK, &whole) != 0) {
    if (errno != EAGAIN && errno != EACCES) return fail_errno(path);
    if (held.came()) return fail(ErrorKind::unavailable, "interrupted");
    if (deadline.passed())
      return fail(ErrorKind::unavailable, "another enclave has been starting for too long");
    ::poll(nullptr, 0, kPause);
  }
  return lock;
}

// One start, from nothing to an enclave that answers. Unless kept, the enclave ends with this object.
class Launch {
 public:
  Launch(const NitroCli& nitro, NitroRun wanted, std::string log)
      : nitro_(nitro), wanted_(std::move(wanted)), log_(std::move(log)) {}
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  ~Launch() {
    if (!enclave_.id.empty() && !kept_) (void)nitro_.terminate_enclave(enclave_.id);
  }

  Status run() {
    auto before = TRY(nitro_.describe_enclaves());
    std::string said;
    auto started = nitro_.run_enclave(wanted_, said);
    note(said);
    if (!started) {
      clean_up(before);
      return std::unexpected(started.error());
    }
    enclave_ = *std::move(started);
    return {};
  }

  // That what runs is what was asked for, by nitro-cli's own account. The enclave's own account comes later,
  // with AWS's signature, and to everybody who uses it; this one tells early of a file that was changed under
  // our feet.
  Status check(const attestation::Measurements& measured) const {
    auto all = TRY(nitro_.describe_enclaves());
    auto found = std::ranges::find(all, enclave_.id, &NitroEnclave::id);
    if (found == all.end() || !found->running())
      return fail(ErrorKind::unavailable,
                  "the enclave did not come up: nitro-cli does not list it as running");
    if (found->debug != wanted_.debug)
      return fail(ErrorKind::corrupt, "nitro-cli started the enclave {} debug mode",
                  found->debug ? "in" : "without");
    const auto& told = found->measurements;
    if (told && told->pcrs != measured.pcrs) {
      Error error(
          ErrorKind::corrupt,
          fmt::format("{} is not what nitro-cli started: its measurements are others", wanted_.image));
      return std::unexpected(
          std::move(error).with_hint("was the file replaced meanwhile? cloister up again"));
    }
    return {};
  }

  Status await_answer(const sys::Endpoint& control, const HeldSignals& held) const {
    auto deadline = sys::Deadline::after(kNitroAnswerTimeout);
    while (!deadline.passed()) {
      if (held.came()) return fail(ErrorKind::unavailable, "interrupted");
      if (sys::connect(control, sys::Deadline::after(kConnectTry))) return {};
      if (process_start_time(enclave_.pid) == 0)
        return fail(ErrorKind::unavailable, "the enclave did not come up: it has ended");
      ::poll(nullptr, 0, kPause);
    }
    Error error(ErrorKind::unavailable,
                fmt::format("the enclave did not come up: it does not answer at {}", control.to_string()));
    return std::unexpected(
        std::move(error).with_hint(wanted_.debug ? "its console is in console.log, beside " + log_
                                                 : "start it with --debug: its console is kept then"));
  }

  const NitroEnclave& enclave() const { return enclave_; }
  void keep() { kept_ = true; }

 private:
  void note(const std::string& said) const {
    sys::Fd file(::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file) (void)sys::write_all(file.get(), as_bytes(said), log_);
  }

  // nitro-cli's process behind an enclave outlives a nitro-cli that failed, or was killed for being late.
  void clean_up(const std::vector<NitroEnclave>& before) const {
    auto now = nitro_.describe_enclaves();
    if (!now) return;
    for (const auto& one : *now) {
      bool ours = one.name.starts_with(wanted_.name) &&
                  std::ranges::find(before, one.id, &NitroEnclave::id) == before.end();
      if (ours) (void)nitro_.terminate_enclave(one.id);
    }
  }

  const NitroCli& nitro_;
  NitroRun wanted_;
  std::string log_;
  NitroEnclave enclave_;  // without an ID: not started
  bool kept_ = false;
};

EnclaveRecord make_record(const UpOptions& options, const NitroEnclave& enclave,
                          const attestation::Measurements& measurements) {
  EnclaveRecord record;
  record.name = options.name;
  record.backend = kNitroBackend;
  record.mode = options.debug ? "debug" : "production";
  record.pid = enclave.pid;
  record.started = process_start_time(enclave.pid);
  record.machine = enclave.id;
  record.control = {.kind = sys::Endpoint::Kind::vsock, .cid = enclave.cid, .port = kControlPort};
  record.lanes = {.kind = sys::Endpoint::Kind::vsock, .cid = enclave.cid, .port = kLanePort};
  record.proxy = {.kind = sys::Endpoint::Kind::vsock, .cid = kParentCid, .port = kProxyPort};
  record.measurements = measurements;
  record.root_pem = attestation::aws_nitro_root().pem();
  return record;
}

// A debug enclave's console goes to a file from its first line on, as the other backends have it.
Status follow_console(const Paths& paths, const Environment& environment, EnclaveRecord& record) {
  auto file = enclave_console_path(paths, record.name);
  ::unlink(file.c_str());  // an earlier enclave's
  auto console = TRY(nitro_console(environment, record.machine));
  record.console_pid = TRY(
      fork_in_background([&] { return become_tool(console.path, console.words, console.variables); }, file));
  record.console_started = process_start_time(record.console_pid);
  return {};
}

Result<image::Eif> open_image(const std::string& path) {
  auto image = TRY(image::Eif::open(path));
  if (image.architecture() == kThisProcessor) return image;
  Error error(ErrorKind::invalid, fmt::format("{} is for {}, and this machine's processor is {}", path,
                                              to_string(image.architecture()), to_string(kThisProcessor)));
  return std::unexpected(std::move(error).with_hint("build it for this one: architecture in the recipe"));
}

}  // namespace

Result<NitroRun> plan_nitro_run(const UpOptions& options, const ImageFacts& image,
                                unsigned threads_per_core) {
  if (options.memory_mib > kMaxMib) return fail(ErrorKind::invalid, "--memory is at most {}", kMaxMib);
  if (options.cpus > kMaxCpus) return fail(ErrorKind::invalid, "--cpus is at most {}", kMaxCpus);
  if (options.cid != 0 && (options.cid < kFirstCid || options.cid > kLastCid))
    return fail(ErrorKind::invalid, "--enclave-cid is {} to {}", kFirstCid, kLastCid);
  if (options.cpus % threads_per_core != 0) {
    Error error(ErrorKind::invalid,
                fmt::format("--cpus {}: processors of one core go to an enclave together, {} of them here",
                            options.cpus, threads_per_core));
    return std::unexpected(std::move(error).with_hint(
        fmt::format("--cpus {}", (options.cpus / threads_per_core + 1) * threads_per_core)));
  }
  NitroRun out{.image = image.path, .name = nitro_name(options.name)};
  auto file_mib = (image.bytes + kMib - 1) / kMib;
  auto asked = std::min((image.default_memory + kMib - 1) / kMib, kMaxMib);
  out.memory_mib = options.memory_mib != 0 ? options.memory_mib : std::max(asked, kEifMemoryRatio * file_mib);
  auto cpus = std::clamp<std::uint64_t>(image.default_cpus, 1, kMaxCpus);
  out.cpus =
      options.cpus != 0 ? options.cpus : (cpus + threads_per_core - 1) / threads_per_core * threads_per_core;
  out.cid = options.cid;
  out.debug = options.debug;
  out.image_bytes = image.bytes;
  return out;
}

Result<EnclaveRecord> start_nitro_enclave(const Paths& paths, const Environment& environment,
                                          const UpOptions& options, const HeldSignals& held) {
  TRY(check_options(options));
  auto nitro = TRY(NitroCli::find(environment));
  auto image = TRY(open_image(options.image));
  auto measurements = TRY(image::measure_eif(image));
  ImageFacts facts{.path = std::filesystem::absolute(options.image).string(),
                   .bytes = image.file_size(),
                   .default_memory = image.default_memory(),
                   .default_cpus = image.default_cpus()};
  auto wanted = TRY(plan_nitro_run(options, facts, read_nitro_host().threads_per_core));
  TRY(check_memory(image, wanted.memory_mib));
  TRY(make_run_directory(paths.enclave(options.name)));
  auto turn = TRY(wait_for_turn(paths, held));
  Launch launch(nitro, wanted, enclave_log_path(paths, options.name));
  TRY(launch.run());
  turn.reset();
  auto record = make_record(options, launch.enclave(), measurements);
  TRY(launch.check(measurements));
  if (options.debug) TRY(follow_console(paths, environment, record));
  TRY(launch.await_answer(record.control, held));
  launch.keep();
  return record;
}

Status stop_nitro_enclave(const EnclaveRecord& record, const Environment& environment) {
  auto nitro = NitroCli::find(environment);
  if (!nitro && !record.alive()) return {};
  TRY(TRY(std::move(nitro)).terminate_enclave(record.machine));
  // It ends by itself with the enclave; one that does not is no longer of use.
  return stop_in_background(record.console_pid, record.console_started, kConsoleGrace);
}

EnclaveState nitro_state_of(const EnclaveRecord& record, const Environment& environment) {
  // nitro-cli lists to everybody but root their own enclaves only.
  if (!record.alive() || !record.own) return {.running = record.alive(), .problem = {}};
  auto nitro = NitroCli::find(environment);
  auto all = nitro ? nitro->describe_enclaves() : std::unexpected(nitro.error());
  if (!all) return {.running = true, .problem = all.error().message()};
  auto found = std::ranges::find(*all, record.machine, &NitroEnclave::id);
  return {.running = found != all->end() && found->running(), .problem = {}};
}

}  // namespace cloister::host
