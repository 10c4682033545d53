#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "sandbox/namespaces.h"
#include "sys/clock.h"
#include "sys/file.h"

namespace cloister::sandbox {

namespace {

constexpr std::size_t kMaxFile = 1 << 20;       // bytes of mountinfo and of cgroup files
constexpr sys::milliseconds kRemoveWait{2000};  // for killed processes to be gone
constexpr long kRemovePauseNs = 2'000'000;
constexpr std::uint32_t kCpuPeriodUs = 100'000;

Status write_file(const sys::Dir& group, const char* name, std::string_view text) {
  auto fd = TRY(group.open_at(name, O_WRONLY));
  // One write: each is one command to the kernel.
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno(name);
  return {};
}

Result<std::string> read_file(const sys::Dir& group, const char* name) {
  auto fd = TRY(group.open_at(name, O_RDONLY));
  return std::string(as_text(TRY(sys::read_all(fd.get(), kMaxFile, name))));
}

// Best effort: where the parent may not pass a controller on, the child's files are missing, which the report
// shows.
void enable_controllers(const sys::Dir& parent) {
  for (const char* controller : {"+memory", "+pids", "+cpu"}) {
    (void)write_file(parent, "cgroup.subtree_control", controller);
  }
}

// The v2 path in /proc/self/cgroup, the line "0::/path".
Result<std::string> v2_path() {
  auto text = std::string(as_text(TRY(sys::read_file("/proc/self/cgroup", kMaxFile))));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return fail(ErrorKind::unavailable, "no cgroup v2 hierarchy");
}

// Root and mount point of the cgroup2 mount: fields 4 and 5 of mountinfo; the type follows " - "
// (proc_pid_mountinfo(5)).
struct Hierarchy {
  std::string root;
  std::string mount_point;
};

Result<Hierarchy> v2_mount() {
  auto text = std::string(as_text(TRY(sys::read_file("/proc/self/mountinfo", kMaxFile))));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string skipped;
    Hierarchy found;
    fields >> skipped >> skipped >> skipped >> found.root >> found.mount_point;
    return found;
  }
  return fail(ErrorKind::unavailable, "no cgroup v2 hierarchy is mounted");
}

void set_limit(const sys::Dir& group, Wall wall, const char* file, const std::string& value,
               WallReport& report) {
  auto written = write_file(group, file, value);
  if (written)
    report.hold(wall, fmt::format("{} {}", file, value));
  else
    report.lack(wall, written.error().kind() == ErrorKind::not_found
                          ? fmt::format("no {}: the controller is not delegated", file)
                          : written.error().message());
}

void limit_memory(const sys::Dir& group, std::uint64_t bytes, WallReport& report) {
  set_limit(group, Wall::cgroup_memory, "memory.max", fmt::format("{}", bytes), report);
  if (!report.held(Wall::cgroup_memory)) return;
  // Swap would be memory beyond the limit, on a disk of the host. The file is missing where the kernel cannot
  // swap.
  auto swap = write_file(group, "memory.swap.max", "0");
  if (!swap && swap.error().kind() != ErrorKind::not_found)
    report.lack(Wall::cgroup_memory, swap.error().message());
  (void)write_file(group, "memory.oom.group", "1");  // else one process of the job dies, and the job sees it
}

}  // namespace

Result<std::string> own_cgroup() {
  auto path = TRY(v2_path());
  auto mount = TRY(v2_mount());
  if (mount.root != "/" && path.starts_with(mount.root)) path.erase(0, mount.root.size());
  return path == "/" ? mount.mount_point : mount.mount_point + path;
}

void apply_cgroup_limits(const sys::Dir& group, const CgroupLimits& limits, WallReport& report) {
  if (limits.memory_bytes) limit_memory(group, *limits.memory_bytes, report);
  if (limits.processes) {
    set_limit(group, Wall::cgroup_pids, "pids.max", fmt::format("{}", *limits.processes), report);
  }
  if (limits.cpu_percent) {
    auto quota = std::uint64_t{*limits.cpu_percent} * kCpuPeriodUs / 100;
    set_limit(group, Wall::cgroup_cpu, "cpu.max", fmt::format("{} {}", quota, kCpuPeriodUs), report);
  }
}

Result<Cgroup> Cgroup::create(const std::string& parent_path, const std::string& name,
                              const CgroupLimits& limits, WallReport& report) {
  TRY(sys::check_component(name));
  auto parent = TRY(sys::Dir::open(parent_path));
  if (!parent.open_regular("cgroup.procs"))
    return fail(ErrorKind::unavailable, "{} is not a cgroup", parent_path);
  enable_controllers(parent);
  if (::mkdirat(parent.descriptor(), name.c_str(), 0755) != 0) {
    int error = errno;
    if (error == EACCES || error == EPERM || error == EROFS) {
      return fail(ErrorKind::unavailable, "no right to create a cgroup in {}", parent_path);
    }
    return fail_errno(error, fmt::format("create the cgroup {}", name));
  }
  auto dir = TRY(parent.open_dir(name));
  Cgroup group(std::move(parent), std::move(dir), name);
  apply_cgroup_limits(group.dir_, limits, report);
  bool ends_as_one = group.dir_.open_at("cgroup.kill", O_WRONLY).has_value();
  if (ends_as_one)
    report.hold(Wall::cgroup);
  else
    report.lack(Wall::cgroup, "no cgroup.kill before Linux 5.14");
  return group;
}

Cgroup::~Cgroup() {
  if (!dir_) return;
  (void)kill();
  (void)remove();
}

Status Cgroup::enter() const {
  TRY(write_file(dir_, "cgroup.procs", "0").context("enter the cgroup"));
  return isolate_cgroup();
}

Status Cgroup::kill() const {
  return write_file(dir_, "cgroup.kill", "1");
}

Status Cgroup::remove() {
  auto deadline = sys::Deadline::after(kRemoveWait);
  for (;;) {
    if (::unlinkat(parent_.descriptor(), name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) break;
    if (errno != EBUSY || deadline.passed()) return fail_errno("remove the cgroup");
    timespec pause{0, kRemovePauseNs};
    ::nanosleep(&pause, nullptr);
  }
  dir_ = sys::Dir();
  return {};
}

std::uint64_t Cgroup::oom_kills() const {
  auto events = read_file(dir_, "memory.events");
  if (!events) return 0;
  std::istringstream lines(*events);
  std::string key;
  for (std::uint64_t count = 0; lines >> key >> count;) {
    if (key == "oom_kill") return count;
  }
  return 0;
}

}  // namespace cloister::sandbox
