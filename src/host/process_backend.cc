#include "host/process_backend.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "host/background.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::host {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kMaxShareMib = 16ULL * 1024 * 1024;  // 16 TiB
constexpr std::size_t kMaxLog = 1024 * 1024;                 // bytes, of an enclave that did not come up

std::uint64_t default_share_mib() {
  struct sysinfo info{};
  ::sysinfo(&info);
  return std::max<std::uint64_t>(64, std::uint64_t{info.totalram} * info.mem_unit / kMib / 4);
}

// control.sock and lanes.sock are the enclave's; parent/ is the one directory that its keeper sees of the
// host.
Status make_run_directory(const std::string& directory) {
  TRY(sys::make_directories(directory, 0755));
  if (::chmod(directory.c_str(), 0700) != 0) return fail_errno(directory);
  TRY(sys::make_directories(directory + "/parent", 0755));
  return {};
}

Result<gid_t> group_of(const std::string& name) {
  errno = 0;
  const auto* entry = ::getgrnam(name.c_str());  // one thread here
  if (entry == nullptr) return fail(ErrorKind::invalid, "there is no group '{}'", name);
  return entry->gr_gid;
}

// Members may connect and read the record; the proxy's place and the log stay the starter's. On a Nitro
// machine every local user can connect to an enclave's vsock ports: here it is for the starter to say.
Status let_in(const std::string& directory, gid_t group) {
  for (auto [name, mode] : {std::pair{"", 0750}, {"/control.sock", 0660}, {"/lanes.sock", 0660}}) {
    auto path = directory + name;
    if (::chown(path.c_str(), static_cast<uid_t>(-1), group) != 0 ||
        ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
      return fail_errno(path);
  }
  return {};
}

std::string last_line(const std::string& path) {
  auto bytes = sys::read_file(path, kMaxLog);
  auto text = bytes ? std::string(as_text(*bytes)) : std::string();
  while (text.ends_with('\n')) text.pop_back();
  text = text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
  return text.empty() ? "it said nothing" : text;
}

// Of one name at a time: held from the look for a running enclave until its record is written.
Result<sys::Fd> lock_name(const Paths& paths, const std::string& name) {
  TRY(sys::make_directories(paths.run, 0755));
  auto path = paths.enclave(name) + ".lock";
  sys::Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno(path);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(lock.get(), F_SETLK, &whole) == 0) return lock;
  if (errno != EAGAIN && errno != EACCES) return fail_errno(path);
  Error error(ErrorKind::unavailable, fmt::format("enclave '{}' is being started already", name));
  return std::unexpected(std::move(error).with_hint("wait a moment, then: cloister status"));
}

std::vector<std::string> supervisor_arguments(const Paths& paths, const UpOptions& options,
                                              const Simulation& simulation) {
  auto share_mib = options.share_mib != 0 ? options.share_mib : default_share_mib();
  std::vector<std::string> out{
      simulation.supervisor,    "--run-directory", paths.enclave(options.name), "--trust",
      simulation.trust_file,    "--runtime",       simulation.runtime_file,     "--development-root",
      paths.development_root(), "--share-mib",     std::to_string(share_mib)};
  if (options.share_budget_mib != 0) {
    out.insert(out.end(), {"--share-budget-mib", std::to_string(options.share_budget_mib)});
  }
  return out;
}

// A number of MiB that no machine has would wrap as bytes.
Status check_sizes(const UpOptions& options) {
  for (auto [name, mib] : {std::pair{"--share-mib", options.share_mib},
                           std::pair{"--share-budget-mib", options.share_budget_mib}}) {
    if (mib > kMaxShareMib) return fail(ErrorKind::invalid, "{} is at most {}", name, kMaxShareMib);
  }
  if (options.share_budget_mib == 0 || options.share_mib <= options.share_budget_mib) return {};
  Error error(ErrorKind::invalid,
              fmt::format("a folder of {} MiB is more than the {} MiB that all folders together may have",
                          options.share_mib, options.share_budget_mib));
  return std::unexpected(std::move(error).with_hint("lower --share-mib, or raise --share-budget-mib"));
}

Status await_start(pid_t pid, const sys::Endpoint& control, const std::string& log, const HeldSignals& held) {
  auto deadline = sys::Deadline::after(kStartTimeout);
  while (!deadline.passed()) {
    if (held.came()) return fail(ErrorKind::unavailable, "interrupted");
    if (sys::connect(control, deadline)) return {};
    if (::waitpid(pid, nullptr, WNOHANG) == pid) break;
    ::poll(nullptr, 0, 20);
  }
  Error error(ErrorKind::unavailable, fmt::format("the enclave did not come up: {}", last_line(log)));
  return std::unexpected(std::move(error).with_hint(fmt::format("its log is {}", log)));
}

EnclaveRecord make_record(const Paths& paths, const UpOptions& options, const Simulation& simulation) {
  auto directory = paths.enclave(options.name);
  EnclaveRecord record;
  record.name = options.name;
  record.backend = "process";
  record.mode = "simulated";
  record.control = sys::Endpoint::unix_socket(directory + "/control.sock");
  record.lanes = sys::Endpoint::unix_socket(directory + "/lanes.sock");
  record.proxy = sys::Endpoint::unix_socket(directory + "/parent/proxy.sock");
  record.measurements = simulation.measurements;
  return record;
}

}  // namespace

std::string enclave_log_path(const Paths& paths, const std::string& name) {
  return paths.enclave(name) + "/enclave.log";
}

Result<EnclaveRecord> start_process_enclave(const Paths& paths, const UpOptions& options) {
  TRY(check_enclave_name(options.name));
  TRY(check_sizes(options));
  if (::geteuid() != 0)
    return fail(ErrorKind::denied, "the process backend needs root, to build the walls of jobs");
  auto group = options.group.empty() ? Result<gid_t>(0) : group_of(options.group);
  TRY(group);
  HeldSignals held;
  auto lock = TRY(lock_name(paths, options.name));
  if (auto running = read_record(paths, options.name); running && running->alive()) {
    Error error(ErrorKind::unavailable, fmt::format("enclave '{}' is running already", options.name));
    return std::unexpected(std::move(error).with_hint("run: cloister status, or cloister down"));
  }
  auto simulation = TRY(compose_simulation(paths.state + "/simulated/" + options.name, options.kms_ca));
  TRY(make_run_directory(paths.enclave(options.name)));
  auto log = enclave_log_path(paths, options.name);
  auto record = make_record(paths, options, simulation);
  record.pid = TRY(start_in_background(supervisor_arguments(paths, options, simulation), log));
  record.started = process_start_time(record.pid);
  if (auto up = await_start(record.pid, record.control, log, held); !up) {
    TRY(stop_in_background(record.pid, record.started, kStopTimeout));
    return std::unexpected(up.error());
  }
  if (!options.group.empty()) TRY(let_in(paths.enclave(options.name), *group));
  auto root = TRY(sys::read_file(paths.development_root() + "/root.pem", kMaxRecord));
  record.root_pem = std::string(as_text(root));
  TRY(write_record(paths, record));
  return record;
}

Status stop_process_enclave(const Paths& paths, const EnclaveRecord& record) {
  if (!record.own) return fail(ErrorKind::denied, "enclave '{}' was started by somebody else", record.name);
  TRY(stop_in_background(record.pid, record.started, kStopTimeout));
  std::error_code ignored;
  std::filesystem::remove_all(paths.enclave(record.name), ignored);
  return {};
}

}  // namespace cloister::host
