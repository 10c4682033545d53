#include "host/backend.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "host/nitro_backend.h"
#include "host/process_backend.h"
#include "host/qemu_backend.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr std::size_t kMaxLog = 1024 * 1024;  // bytes, of an enclave that did not come up
constexpr int kStartPause = 20;               // milliseconds between two tries
constexpr sys::milliseconds kConnectTry = sys::seconds(3);

std::string last_line(const std::string& path) {
  auto bytes = sys::read_file(path, kMaxLog);
  auto text = bytes ? std::string(as_text(*bytes)) : std::string();
  while (text.ends_with('\n')) text.pop_back();
  text = text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
  return text.empty() ? "it said nothing" : text;
}

Result<gid_t> group_of(const std::string& name) {
  errno = 0;
  const auto* entry = ::getgrnam(name.c_str());  // one thread here
  if (entry == nullptr) return fail(ErrorKind::invalid, "there is no group '{}'", name);
  return entry->gr_gid;
}

// Members may connect and read the record; the proxy's place and the log stay the starter's. On a Nitro
// machine every local user can connect to an enclave's vsock ports: here it is for the starter to say.
Status let_in(const std::string& directory, const EnclaveRecord& record, gid_t group) {
  for (const auto& [path, mode] :
       {std::pair{directory, 0750}, {record.control.path, 0660}, {record.lanes.path, 0660}}) {
    if (path.empty()) continue;  // a vsock port: its own connections are everybody's
    if (::chown(path.c_str(), static_cast<uid_t>(-1), group) != 0 ||
        ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
      return fail_errno(path);
  }
  return {};
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

Status check_free(const Paths& paths, const std::string& name) {
  auto running = read_record(paths, name);
  if (!running || !running->alive()) return {};
  Error error(ErrorKind::unavailable, fmt::format("enclave '{}' is running already", name));
  return std::unexpected(std::move(error).with_hint("run: cloister status, or cloister down"));
}

Result<EnclaveRecord> start_by_backend(const Paths& paths, const Environment& environment,
                                       const UpOptions& options, const HeldSignals& held) {
  if (options.cid != 0 && options.backend != kNitroBackend)
    return fail(ErrorKind::invalid, "--enclave-cid is for the nitro backend");
  if (options.backend == "process") return start_process_enclave(paths, options, held);
  if (options.backend == "qemu") return start_qemu_enclave(paths, environment, options, held);
  if (options.backend == kNitroBackend) return start_nitro_enclave(paths, environment, options, held);
  return fail(ErrorKind::invalid, "there is no backend '{}': process, qemu or nitro", options.backend);
}

Status end_enclave(const Environment& environment, const EnclaveRecord& record) {
  if (record.backend == kNitroBackend) return stop_nitro_enclave(record, environment);
  return stop_in_background(record.pid, record.started, kStopTimeout);
}

bool may_connect(const Started& started) {
  return started.sign.empty() || ::access(started.sign.c_str(), F_OK) == 0;
}

}  // namespace

std::string enclave_log_path(const Paths& paths, const std::string& name) {
  return paths.enclave(name) + "/enclave.log";
}

std::string enclave_console_path(const Paths& paths, const std::string& name) {
  return paths.enclave(name) + "/console.log";
}

Status make_run_directory(const std::string& directory) {
  TRY(sys::make_directories(directory, 0755));
  if (::chmod(directory.c_str(), 0700) != 0) return fail_errno(directory);
  TRY(sys::make_directories(directory + "/parent", 0755));
  return {};
}

Status await_start(const Started& started, sys::milliseconds timeout, const std::string& log,
                   const HeldSignals& held) {
  auto deadline = sys::Deadline::after(timeout);
  auto why = std::string("it does not answer");
  while (!deadline.passed()) {
    if (held.came()) return fail(ErrorKind::unavailable, "interrupted");
    if (may_connect(started) && sys::connect(started.control, sys::Deadline::after(kConnectTry))) return {};
    if (::waitpid(started.pid, nullptr, WNOHANG) == started.pid) {
      why = last_line(log);
      break;
    }
    ::poll(nullptr, 0, kStartPause);
  }
  Error error(ErrorKind::unavailable, fmt::format("the enclave did not come up: {}", why));
  return std::unexpected(std::move(error).with_hint(fmt::format("its log is {}", log)));
}

Result<EnclaveRecord> start_enclave(const Paths& paths, const Environment& environment,
                                    const UpOptions& options) {
  TRY(check_enclave_name(options.name));
  auto group = options.group.empty() ? Result<gid_t>(0) : group_of(options.group);
  TRY(group);
  HeldSignals held;
  auto lock = TRY(lock_name(paths, options.name));
  TRY(check_free(paths, options.name));
  auto record = TRY(start_by_backend(paths, environment, options, held));
  auto done = options.group.empty() ? Status() : let_in(paths.enclave(options.name), record, *group);
  if (done) done = write_record(paths, record);
  // Whoever interrupted it in the last moment does not expect it to run either.
  if (done && held.came()) done = fail(ErrorKind::unavailable, "interrupted");
  if (done) return record;
  TRY(end_enclave(environment, record));
  return std::unexpected(done.error());
}

EnclaveState state_of(const EnclaveRecord& record, const Environment& environment) {
  if (record.backend == kNitroBackend) return nitro_state_of(record, environment);
  return {.running = record.alive(), .problem = {}};
}

Status stop_enclave(const Paths& paths, const Environment& environment, const EnclaveRecord& record) {
  if (!record.own) return fail(ErrorKind::denied, "enclave '{}' was started by somebody else", record.name);
  TRY(end_enclave(environment, record));
  std::error_code ignored;
  std::filesystem::remove_all(paths.enclave(record.name), ignored);
  return {};
}

}  // namespace cloister::host
