#include "enclave/monitor.h"

#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "enclave/keeper.h"
#include "enclave/launcher.h"
#include "enclave/listener.h"
#include "enclave/security_module.h"
#include "enclave/shares.h"
#include "sandbox/contain.h"
#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

constexpr uid_t kKeeperUser = 61001;
constexpr uid_t kListenerUser = 61002;
constexpr uid_t kModuleUser = 61003;
constexpr uid_t kFirstJobUser =
    61100;  // job slot k runs as this + k, unless its kernel has no idmapped tmpfs
constexpr rlim_t kMaxDescriptors = 1U << 20;

std::string parent_directory(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// Who a process of the enclave is to be: of what remains, everything but this is lost.
struct Station {
  sandbox::Profile profile;
  uid_t user;
  std::uint64_t capabilities = 0;
  const sys::Endpoint* reach = nullptr;
};

// Walls of the processes that run as long as the enclave does: an empty root, or one with just the proxy's
// socket in it.
Status wall_in(const Station& station, const std::string& work_path, const sandbox::WallSet& required,
               std::initializer_list<int> keep) {
  const auto* reach = station.reach;
  TRY(sandbox::make_mounts_private());
  sandbox::RootPlan plan;
  plan.devices = false;
  plan.proc = false;
  std::vector<sandbox::LandlockRule> paths;
  if (reach != nullptr && reach->kind == sys::Endpoint::Kind::unix_path) {
    auto directory = parent_directory(reach->path);
    plan.mounts.push_back(
        {.kind = sandbox::Mount::Kind::bind, .target = directory, .source = directory, .no_exec = true});
    paths.push_back({directory, sandbox::kRead});
  }
  TRY(sandbox::enter_root(TRY(sandbox::assemble_root(plan, work_path))));
  sandbox::Walls walls;
  walls.profile = station.profile;
  walls.uid = walls.gid = station.user;
  walls.capabilities = station.capabilities;
  walls.landlock = paths;
  walls.landlock_tcp = true;
  walls.keep_fds = keep;
  walls.minimum.add(required);
  TRY(sandbox::contain(walls));
  return {};
}

std::uint64_t machine_memory() {
  struct sysinfo info{};
  ::sysinfo(&info);
  return std::uint64_t{info.totalram} * info.mem_unit;
}

MonitorOptions with_memory(MonitorOptions options) {
  if (options.memory_bytes == 0) options.memory_bytes = machine_memory();
  return options;
}

// The rest is for jobs and for the enclave itself.
std::uint64_t share_budget(const MonitorOptions& options) {
  return options.share_budget_bytes != 0 ? options.share_budget_bytes
                                         : options.memory_bytes / kShareBudgetDivisor;
}

struct RunningJob {
  uid_t user = 0;
  sys::Child launcher;
};

class Monitor {
 public:
  Monitor(MonitorOptions options, const sandbox::WallSet& required, const Log& log)
      : options_(with_memory(std::move(options))),
        log_(log),
        shares_({.directory = options_.state_path + "/shares",
                 .work_path = options_.state_path + "/work",
                 .bytes = options_.share_bytes,
                 .budget_bytes = share_budget(options_),
                 .required_walls = required},
                log_),
        required_(required) {}

  Status run() {
    TRY(prepare());
    TRY(start_processes());
    log_.info("ready: {} mode, control {}", to_string(options_.trust.mode), options_.control.to_string());
    return serve();
  }

 private:
  Status prepare() {
    rlimit descriptors{kMaxDescriptors, kMaxDescriptors};
    ::setrlimit(RLIMIT_NOFILE,
                &descriptors);  // what a share server may use; the current limit is good enough else
    rlimit core{1, 1};          // no core dumps of launchers either; 0 would still feed a pipe (core(5))
    ::setrlimit(RLIMIT_CORE, &core);
    for (const char* name : {"/shares", "/work"})
      TRY(sys::make_directories(options_.state_path + name, 0755));
    sigset_t heard;
    sigemptyset(&heard);
    for (int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&heard, number);
    ::sigprocmask(SIG_BLOCK, &heard, &old_signals_);
    signals_ = sys::Fd(::signalfd(-1, &heard, SFD_CLOEXEC));
    if (!signals_) return fail_errno("signalfd");
    return {};
  }

  // Every fork gets only what its body names: the rest is closed behind it by contain().
  Result<sys::Child> fork_process(const std::function<Status()>& body, std::string_view name,
                                  unsigned namespaces) {
    return sys::fork_child(
        [&] {
          ::sigprocmask(SIG_SETMASK, &old_signals_, nullptr);
          ::signal(SIGPIPE, SIG_IGN);
          auto done = body();
          if (!done) log_.tagged(std::string(name)).error("{}", done.error().message());
          return done ? 0 : 1;
        },
        namespaces);
  }

  Status start_processes() {
    auto control = TRY(sys::listen(options_.control));
    auto lanes = TRY(sys::listen(options_.lanes));
    auto to_keeper = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    auto to_listener = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    auto between = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    auto to_module = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    module_process_ =
        TRY(fork_process([&] { return module(sys::MessageSocket(std::move(to_module.second))); }, "module",
                         CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC));
    keeper_process_ = TRY(fork_process(
        [&] {
          return keeper(sys::MessageSocket(std::move(between.first)),
                        sys::MessageSocket(std::move(to_keeper.second)),
                        sys::MessageSocket(std::move(to_module.first)));
        },
        "keeper", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC));
    listener_process_ = TRY(fork_process(
        [&] {
          return listener({.monitor = sys::MessageSocket(std::move(to_listener.second)),
                           .keeper = sys::MessageSocket(std::move(between.second)),
                           .control = std::move(control),
                           .lanes = std::move(lanes)});
        },
        "listener", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC));
    keeper_ = sys::MessageSocket(std::move(to_keeper.first));
    listener_ = sys::MessageSocket(std::move(to_listener.first));
    return {};
  }

  // The driver asks for CAP_SYS_ADMIN at each exchange. A module without a device needs none.
  Status module(const sys::MessageSocket& keeper) {
    auto nsm = TRY(options_.open_nsm());
    Station station{.profile = sandbox::Profile::module, .user = kModuleUser};
    if (nsm->descriptor() >= 0) {
      station.user = 0;
      station.capabilities = 1ULL << CAP_SYS_ADMIN;
    }
    TRY(wall_in(station, work_path(), required_, {keeper.descriptor(), nsm->descriptor()}));
    return run_security_module(keeper, *nsm);
  }

  Status keeper(sys::MessageSocket listener, sys::MessageSocket monitor, sys::MessageSocket module) {
    auto log = log_.tagged("keeper");
    RemoteNsm nsm(std::move(module));
    TRY(wall_in({.profile = sandbox::Profile::keeper, .user = kKeeperUser, .reach = &options_.proxy},
                work_path(), required_, {listener.descriptor(), monitor.descriptor(), nsm.descriptor()}));
    return run_keeper(std::move(listener), std::move(monitor), nsm, options_.trust, options_.proxy, log);
  }

  Status listener(ListenerChannels channels) {
    auto log = log_.tagged("listener");
    TRY(wall_in({.profile = sandbox::Profile::listener, .user = kListenerUser}, work_path(), required_,
                {channels.monitor.descriptor(), channels.keeper.descriptor(), channels.control.get(),
                 channels.lanes.get()}));
    return run_listener(std::move(channels), options_.trust.mode, log);
  }

  Status serve() {
    for (;;) {
      std::vector<pollfd> entries{{signals_.get(), POLLIN, 0},
                                  {listener_.descriptor(), POLLIN, 0},
                                  {keeper_process_.pidfd(), POLLIN, 0},
                                  {listener_process_.pidfd(), POLLIN, 0},
                                  {module_process_.pidfd(), POLLIN, 0}};
      for (const auto& job : jobs_) entries.push_back({job.launcher.pidfd(), POLLIN, 0});
      auto wait = shares_.balance_interval();
      if (::poll(entries.data(), entries.size(), wait ? static_cast<int>(wait->count()) : -1) < 0) {
        if (errno == EINTR) continue;
        return fail_errno("poll");
      }
      shares_.balance();
      if (entries[0].revents != 0 && told_to_end()) return {};
      if (entries[2].revents != 0) return fail(ErrorKind::internal, "the keeper has died");
      if (entries[3].revents != 0) return fail(ErrorKind::internal, "the listener has died");
      if (entries[4].revents != 0) return fail(ErrorKind::internal, "the security module's process has died");
      reap_jobs(std::span(entries).subspan(5));
      reap_orphans();
      if (entries[1].revents != 0) TRY(answer());
    }
  }

  // Else it was SIGCHLD, which only wakes.
  bool told_to_end() {
    signalfd_siginfo info{};
    bool read = ::read(signals_.get(), &info, sizeof info) == sizeof info;
    return read && info.ssi_signo != SIGCHLD;
  }

  void reap_jobs(std::span<const pollfd> launchers) {
    // From the last to the first, so that the positions before stay what they were.
    for (std::size_t i = launchers.size(); i-- > 0;) {
      if (launchers[i].revents == 0) continue;
      (void)jobs_[i].launcher.wait().has_value();
      jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  // This is the enclave's pid 1: it inherits whatever a launcher leaves that dies before its children.
  // Nothing is waited for here that somebody owns.
  void reap_orphans() {
    for (;;) {
      siginfo_t ended{};
      if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
      bool owned = ended.si_pid == keeper_process_.pid() || ended.si_pid == listener_process_.pid() ||
                   ended.si_pid == module_process_.pid() ||
                   std::any_of(jobs_.begin(), jobs_.end(),
                               [&](const auto& job) { return job.launcher.pid() == ended.si_pid; });
      // Those that end jobs or the enclave are seen by their descriptors; they are next.
      if (owned) return;
      if (!shares_.reap(ended.si_pid)) ::waitpid(ended.si_pid, nullptr, WNOHANG);
    }
  }

  Status answer() {
    auto request = std::make_unique<MonitorRequest>();
    TRY(listener_.receive(*request));
    std::vector<sys::Fd> fds;
    MonitorReply reply;
    if (auto done = dispatch(std::move(request), fds); !done) {
      reply.error.set(done.error());
      fds.clear();
    }
    std::vector<int> raw;
    raw.reserve(fds.size());
    for (const auto& fd : fds) raw.push_back(fd.get());
    return listener_.send(reply, raw);
  }

  Status dispatch(std::unique_ptr<MonitorRequest> request, std::vector<sys::Fd>& fds) {
    switch (request->call) {
      case MonitorCall::open_share:
        fds.push_back(TRY(shares_.open(request->client)).release());
        return {};
      case MonitorCall::start_job:
        return start_job(*request, fds);
    }
    return fail(ErrorKind::invalid, "unknown call");
  }

  Status start_job(const MonitorRequest& request, std::vector<sys::Fd>& fds) {
    auto place = TRY(shares_.find(request.client));
    auto user = TRY(free_user());
    auto with_listener = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    auto with_keeper = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
    auto output = TRY(sys::make_pipe());
    LaunchPlan plan{.order = std::make_unique<JobOrder>(request.job),
                    .share_path = place.path,
                    .share_owner = place.owner,
                    .job_user = user,
                    .work_path = work_path(),
                    .required_walls = required_,
                    .environment = options_.environment,
                    .memory_bytes = options_.memory_bytes,
                    .listener = sys::MessageSocket(std::move(with_listener.second)),
                    .keeper = sys::MessageSocket(std::move(with_keeper.second)),
                    .standard_output = std::move(output.write)};
    int keepers_end = with_keeper.first.get();
    TRY(keeper_.send(NewJob{.job = request.job.id}, {&keepers_end, 1}));
    auto launcher = TRY(fork_process([&] { return launcher_body(std::move(plan)); }, "launcher", 0));
    jobs_.push_back({user, std::move(launcher)});
    fds.push_back(std::move(with_listener.first));
    fds.push_back(std::move(output.read));
    return {};
  }  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): what was moved from is taken for leaked

  // The launcher starts with its own three channels and none of the monitor's.
  Status launcher_body(LaunchPlan plan) {
    TRY(sys::close_descriptors_except(
        3, {plan.listener.descriptor(), plan.keeper.descriptor(), plan.standard_output.get()}));
    auto log = log_.tagged("launcher");
    run_launcher(std::move(plan), log);
    return {};
  }

  Result<uid_t> free_user() const {
    for (uid_t user = kFirstJobUser; user < kFirstJobUser + kMaxJobsAtOnce; ++user) {
      bool taken = std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.user == user; });
      if (!taken) return user;
    }
    return fail(ErrorKind::exhausted, "{} jobs are running, as many as this enclave allows", kMaxJobsAtOnce);
  }

  std::string work_path() const { return options_.state_path + "/work"; }

  MonitorOptions options_;
  const Log& log_;
  Shares shares_;
  sandbox::WallSet required_;
  sigset_t old_signals_{};
  sys::Fd signals_;
  sys::MessageSocket keeper_;
  sys::MessageSocket listener_;
  sys::Child module_process_;
  sys::Child keeper_process_;
  sys::Child listener_process_;
  std::vector<RunningJob> jobs_;
};

}  // namespace

Status run_monitor(MonitorOptions options, const Log& log) {
  sandbox::WallSet required;
  for (const auto& name : options.trust.required_walls) required.add(TRY(sandbox::wall_from(name)));
  return Monitor(std::move(options), required, log).run();
}

}  // namespace cloister::enclave
