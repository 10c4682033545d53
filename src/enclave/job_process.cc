#include "enclave/job_process.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "enclave/messages.h"
#include "sandbox/contain.h"
#include "sandbox/namespaces.h"
#include "sandbox/proc.h"
#include "sys/file.h"
#include "sys/stream.h"

namespace cloister::enclave {

namespace {

using sandbox::Wall;

constexpr const char* kHostname = "cloister";
constexpr int kCloisterFailed = 125;
constexpr sys::milliseconds kWallsTimeout = sys::seconds(30);

// What the child says before it becomes the application: whether the walls stand, and which.
struct Readiness {
  WireError error;
  sandbox::WallReport walls;
};

sandbox::ResourceLimits resource_limits(const JobProcessPlan& plan, const sandbox::WallReport& walls) {
  sandbox::ResourceLimits out;
  out.processes = plan.limits.processes;
  // Where no memory controller is delegated, each process has the limit to itself: weaker, and reported so.
  if (!walls.held(Wall::cgroup_memory)) out.data_bytes = std::uint64_t{plan.limits.memory_mib} << 20;
  return out;
}

Result<sandbox::WallReport> build_walls(const JobProcessPlan& plan, std::initializer_list<int> keep) {
  auto report = plan.launcher_walls;
  report.hold(Wall::pids);
  report.hold(Wall::ipc);
  report.hold(Wall::network);
  if (plan.cgroup != nullptr) TRY(plan.cgroup->enter());
  TRY(sandbox::make_mounts_private());
  TRY(sandbox::enter_root(plan.root));
  report.hold(Wall::mounts);
  report.hold(Wall::proc, TRY(sandbox::mount_proc()));
  TRY(sandbox::set_hostname(kHostname));
  report.hold(Wall::hostname);
  sandbox::Walls walls;
  walls.profile = sandbox::Profile::job;
  walls.uid = walls.gid = plan.user;
  // The root shows nothing but what the job may reach; Landlock says the same once more, in another part of
  // the kernel. And it keeps sockets out of the share: two jobs that meet at one could pass descriptors.
  walls.landlock =
      std::vector<sandbox::LandlockRule>{{"/", sandbox::kRead | sandbox::kWrite | sandbox::kExecute},
                                         {"/tmp", sandbox::kSockets},
                                         {kPackageDirectory, sandbox::kSockets},
                                         {"/dev/shm", sandbox::kSockets}};
  walls.limits = resource_limits(plan, report);
  walls.keep_fds = keep;
  walls.minimum.add(plan.required);
  report.merge(TRY(sandbox::contain(walls)));
  TRY(report.require(plan.required));
  return report;
}

sandbox::ExecPlan exec_plan(const JobProcessPlan& plan, int null_fd, int report_fd) {
  return {.path = plan.command.program,
          .argv = plan.command.argv,
          .env = plan.environment,
          .working_directory = kPackageDirectory,
          .stdin_fd = null_fd,
          .stdout_fd = plan.standard_output,
          .stderr_fd = plan.standard_error,
          .report_fd = report_fd};
}

// Body of the job's pid 1.
int init_main(const JobProcessPlan& plan, int null_fd, int ready_fd, int report_fd) {
  Readiness readiness;
  auto walls = build_walls(plan, {null_fd, plan.standard_output, plan.standard_error, ready_fd, report_fd});
  if (walls) readiness.walls = *walls;
  if (!walls) readiness.error.set(walls.error());
  ByteView bytes(reinterpret_cast<const std::uint8_t*>(&readiness), sizeof readiness);
  bool told = sys::write_all(ready_fd, bytes, "readiness").has_value();
  ::close(ready_fd);
  if (!walls || !told) return kCloisterFailed;
  return sandbox::run_as_init(exec_plan(plan, null_fd, report_fd));
}

Result<sandbox::WallReport> await_walls(int ready_fd) {
  Readiness readiness;
  TRY(sys::wait_for(ready_fd, POLLIN, sys::Deadline::after(kWallsTimeout), "walls"));
  auto bytes = TRY(sys::read_all(ready_fd, sizeof readiness, "walls"));
  if (bytes.size() != sizeof readiness)
    return fail(ErrorKind::internal, "the job's first process died while its walls were built");
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&readiness));
  if (readiness.error.is_error()) return std::unexpected(readiness.error.to_error().context("walls"));
  return readiness.walls;
}

}  // namespace

Result<JobProcess> start_job_process(const JobProcessPlan& plan) {
  sys::Fd null_device(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null_device) return fail_errno("/dev/null");
  auto ready = TRY(sys::make_pipe());
  auto report = TRY(sys::make_pipe());
  auto init = TRY(sys::fork_child(
      [&] {
        ready.read.reset();
        report.read.reset();
        return init_main(plan, null_device.get(), ready.write.get(), report.write.get());
      },
      sandbox::kJobNamespaces));
  ready.write.reset();
  report.write.reset();
  auto walls = TRY(await_walls(ready.read.get()));
  return JobProcess{std::move(init), std::move(report.read), walls};
}

sandbox::InitReport read_report(const JobProcess& process) {
  sandbox::InitReport report;
  auto bytes = sys::read_all(process.report.get(), sizeof report, "init");
  if (!bytes || bytes->size() != sizeof report) return {};
  std::copy(bytes->begin(), bytes->end(), reinterpret_cast<std::uint8_t*>(&report));
  return report;
}

}  // namespace cloister::enclave
