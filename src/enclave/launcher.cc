#include "enclave/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "enclave/consent.h"
#include "enclave/job_diagnostics.h"
#include "enclave/job_process.h"
#include "enclave/job_root.h"
#include "enclave/unpack_stage.h"
#include "package/start.h"
#include "sandbox/idmap.h"
#include "sandbox/namespaces.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

using sandbox::Wall;

constexpr int kExitFailed = 125;
constexpr int kExitNotRunnable = 126;
constexpr int kExitNotFound = 127;
constexpr std::uint64_t kMib = 1024 * 1024;
// The package's root and .cloister: directories that are no members, so that the limit speaks before the
// tmpfs is full.
constexpr std::uint64_t kUncountedInodes = 2;

class Launcher {
 public:
  Launcher(LaunchPlan plan, const Log& log) : plan_(std::move(plan)), log_(log) {}

  int run() {
    auto ended = prepare();
    if (ended) ended = start();
    if (ended && !cancelled_) ended = supervise();
    // The output ends before the last notice, so that the listener tells everything in order.
    plan_.standard_output.reset();
    if (!ended && !cancelled_) tell_failure(ended.error());
    return 0;
  }

 private:
  Status prepare() {
    TRY(sandbox::isolate_mounts());
    TRY(tell(JobState::starting));
    choose_user();
    share_ = TRY(sys::Dir::open(plan_.share_path));
    TRY(open_package());
    TRY(have_it_verified());
    TRY(make_package_directory());
    auto stage = TRY(UnpackStage::start({.directory = package_path(),
                                         .work_path = root_path(),
                                         .user = user_,
                                         .limits = unpack_limits(),
                                         .required_walls = plan_.required_walls}));
    auto key = TRY(receive_key());
    TRY(tell(JobState::unpacking));
    TRY(stage.decrypt(package_.get(), key, [this] { return check_cancelled(); }));
    package_.reset();
    return choose();
  }

  // Each byte of the package is read once: what the keeper checks is what is decrypted, whatever happens to
  // the file meanwhile.
  Status open_package() {
    auto path = std::string(plan_.order->package.view());
    auto opened = share_.open_regular(path);
    if (!opened && opened.error().kind() == ErrorKind::not_found) {
      return fail(ErrorKind::not_found, "the shared folder has no file '{}'", path);
    }
    package_ = TRY(std::move(opened).context(fmt::format("package '{}'", path)));
    start_ = TRY(package::read_raw_start(package_.get()).context(path));
    return {};
  }

  // The keeper, which has seccomp and no root, reads the header first; here it is parsed once a signer that
  // the caller has pinned answers for it.
  Status have_it_verified() {
    auto request = std::make_unique<KeyRequest>();
    if (start_.prefix.size() > sizeof request->prefix)
      return fail(ErrorKind::internal, "a prefix of {} bytes", start_.prefix.size());
    request->job = plan_.order->id;
    request->signers = plan_.order->signers;
    request->prefix_size = static_cast<std::uint32_t>(start_.prefix.size());
    std::copy(start_.prefix.begin(), start_.prefix.end(), request->prefix);
    std::copy(start_.stream_header.begin(), start_.stream_header.end(), request->content_header);
    TRY(plan_.keeper.send(*request));
    HeaderVerdict verdict;
    TRY(receive_from_keeper(verdict));
    if (verdict.error.is_error()) return std::unexpected(verdict.error.to_error());
    header_ = TRY(package::parse_prefix(start_.prefix));
    return check_consent(header_.public_manifest.terms, *plan_.order);
  }

  // A cancellation does not wait for KMS.
  template <class Message>
  Status receive_from_keeper(Message& message) {
    auto deadline = sys::Deadline::after(kKeyReplyTimeout);
    std::array<pollfd, 2> entries{
        {{plan_.keeper.descriptor(), POLLIN, 0}, {plan_.listener.descriptor(), POLLIN, 0}}};
    while (::poll(entries.data(), entries.size(), deadline.poll_timeout()) < 0) {
      if (errno != EINTR) return fail_errno("poll");
    }
    if (entries[0].revents == 0) TRY(check_cancelled());
    TRY(plan_.keeper.receive(message, 0, deadline).context("keeper"));
    return {};
  }

  // Success: go on.
  Status check_cancelled() {
    if (!cancel_is_waiting()) return {};
    TRY(cancel());
    return fail(ErrorKind::denied, "cancelled");
  }

  // What the signer asks for, as far as this enclave has it.
  package::UnpackLimits unpack_limits() const {
    auto limits = package::unpack_limits(header_);
    limits.max_bytes = std::min(limits.max_bytes, plan_.memory_bytes / 2);
    return limits;
  }

  Result<package::StreamKey> receive_key() {
    KeyReply reply;
    TRY(receive_from_keeper(reply));
    if (reply.error.is_error()) return std::unexpected(reply.error.to_error());
    package::StreamKey key{.key = Secret(ByteView(reply.key))};
    std::copy(std::begin(reply.nonce_prefix), std::end(reply.nonce_prefix), key.nonce_prefix.begin());
    notice_ = reply.notice.view();
    wipe({reinterpret_cast<std::uint8_t*>(&reply), sizeof reply});
    return key;
  }

  // A tmpfs that only this process's mount namespace has.
  Status make_package_directory() {
    for (const auto& path : {package_path(), root_path()}) TRY(sys::make_directories(path, 0755));
    auto limits = unpack_limits();
    auto tmpfs = TRY(sandbox::make_tmpfs({.size_bytes = limits.max_bytes + kMib,
                                          .inodes = limits.max_entries + kUncountedInodes,
                                          .mode = 0700,
                                          .uid = user_,
                                          .gid = user_}));
    return sandbox::attach_mount(tmpfs.get(), package_path());
  }

  Status choose() {
    auto unpacked = TRY(sys::Dir::open(package_path()));
    manifest_ = TRY(package::load_manifest(unpacked, header_));
    std::string entry(plan_.order->entry.view());
    auto arguments = TRY(order_arguments());
    if (auto allowed = manifest_.check_run(entry, arguments); !allowed) return not_runnable(allowed.error());
    auto command = choose_command(unpacked, entry, arguments);
    if (!command) return not_runnable(command.error());
    command_ = *std::move(command);
    return {};
  }

  std::unexpected<Error> not_runnable(const Error& error) {
    exit_code_ = error.kind() == ErrorKind::not_found ? kExitNotFound : kExitNotRunnable;
    return std::unexpected(error);
  }

  Result<std::vector<std::string>> order_arguments() {
    const auto& order = *plan_.order;
    if (order.argument_bytes > sizeof order.arguments) return fail(ErrorKind::invalid, "malformed arguments");
    std::vector<std::string> out;
    std::string_view rest(order.arguments, order.argument_bytes);
    while (!rest.empty()) {
      auto end = rest.find('\0');
      if (end == std::string_view::npos) return fail(ErrorKind::invalid, "malformed arguments");
      out.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    if (out.size() != order.argument_count) return fail(ErrorKind::invalid, "malformed arguments");
    return out;
  }

  // The listener asks for the end, or is gone.
  bool cancel_is_waiting() const {
    pollfd entry{plan_.listener.descriptor(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
  }

  Status start() {
    if (cancel_is_waiting()) return cancel();
    auto root = TRY(plan_job_root({.package_directory = package_path(),
                                   .share = &share_,
                                   .terms = &manifest_.terms,
                                   .output = std::string(plan_.order->output.view()),
                                   .share_owner = plan_.share_owner,
                                   .job_user = user_,
                                   .map_ids = walls_.held(Wall::idmap)}));
    auto errors = TRY(sys::make_pipe());
    sys::Fd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (!nowhere) return fail_errno("/dev/null");
    // As the signed terms say, which the user has read: each stream goes to the caller or to nobody.
    const auto& terms = manifest_.terms;
    int caller = plan_.standard_output.get();
    int output = terms.stdout_to == package::Audience::caller ? caller : nowhere.get();
    int error_output = terms.stderr_to == package::Audience::caller ? caller : errors.write.get();
    auto assembled = TRY(sandbox::assemble_root(root.plan, root_path()));
    make_cgroup();
    process_ = TRY(start_job_process({.command = command_,
                                      .environment = manifest_.job_environment(plan_.environment),
                                      .root = assembled,
                                      .user = user_,
                                      .limits = manifest_.terms.limits,
                                      .required = plan_.required_walls,
                                      .launcher_walls = walls_,
                                      .cgroup = cgroup_ ? &*cgroup_ : nullptr,
                                      .standard_output = output,
                                      .standard_error = error_output}));
    errors_ = std::move(errors.read);
    started_ = true;
    plan_.standard_output.reset();  // the application alone holds it now: its end is the end of the output
    return tell(JobState::running);
  }

  // Without idmapped tmpfs the job has to be the share's owner itself, or it could neither read nor write
  // there.
  void choose_user() {
    auto supported = sandbox::idmapped_tmpfs_supported();
    if (supported) walls_.hold(Wall::idmap);
    if (!supported) walls_.lack(Wall::idmap, supported.error().message());
    user_ = supported ? plan_.job_user : plan_.share_owner;
  }

  void make_cgroup() {
    const auto& limits = manifest_.terms.limits;
    auto parent = sandbox::own_cgroup();
    if (!parent) return walls_.lack(Wall::cgroup, parent.error().message());
    auto created = sandbox::Cgroup::create(
        *parent, fmt::format("job-{:016x}", plan_.order->id),
        {.memory_bytes = std::uint64_t{limits.memory_mib} * kMib, .processes = limits.processes}, walls_);
    if (!created) return walls_.lack(Wall::cgroup, created.error().message());
    cgroup_.emplace(*std::move(created));
  }

  // Until the application ends, its time is up, the caller cancels, or the listener is gone.
  Status supervise() {
    auto limit = sys::Deadline::after(sys::seconds(manifest_.terms.limits.seconds));
    for (;;) {
      std::array<pollfd, 3> entries{{{process_.init.pidfd(), POLLIN, 0},
                                     {plan_.listener.descriptor(), POLLIN, 0},
                                     {errors_ ? errors_.get() : -1, POLLIN, 0}}};
      int ready = ::poll(entries.data(), entries.size(), limit.poll_timeout());
      if (ready < 0 && errno != EINTR) return fail_errno("poll");
      if (limit.passed()) return time_is_up();
      if (entries[1].revents != 0) return cancel();
      if (entries[2].revents != 0) drain_errors();
      if (entries[0].revents != 0) return finish();
    }
  }

  // What is there, without waiting for more.
  void drain_errors() {
    std::array<std::uint8_t, 16 * 1024> buffer;
    pollfd entry{errors_ ? errors_.get() : -1, POLLIN, 0};
    while (errors_ && ::poll(&entry, 1, 0) > 0) {
      ssize_t n = ::read(errors_.get(), buffer.data(), buffer.size());
      if (n > 0) diagnostics_.add(ByteView(buffer).first(static_cast<std::size_t>(n)));
      if (n == 0 || (n < 0 && errno != EINTR)) errors_.reset();
    }
  }

  Status time_is_up() {
    process_.init.kill_and_reap();
    return fail(ErrorKind::exhausted, "the application ran for {} s, the limit in its manifest",
                manifest_.terms.limits.seconds);
  }

  Status cancel() {
    process_.init.kill_and_reap();
    cancelled_ = true;
    // The command is read, whatever it is: a socket closed over unread data takes what it has just sent with
    // it.
    JobCommand command;
    if (!plan_.listener.receive(command)) return fail(ErrorKind::unavailable, "the listener is gone");
    return tell(JobState::cancelled);
  }

  Status finish() {
    TRY(process_.init.wait());
    auto report = read_report(process_);
    JobNotice notice{.state = JobState::exited, .exit_code = report.shell_code()};
    if (cgroup_ && cgroup_->oom_kills() > 0) {
      return fail(ErrorKind::exhausted,
                  "the application needed more than {} MiB of memory, the limit in its manifest",
                  manifest_.terms.limits.memory_mib);
    }
    if (report.end == sandbox::ApplicationEnd::exited || report.end == sandbox::ApplicationEnd::signalled) {
      bool exited = report.end == sandbox::ApplicationEnd::exited;
      tell_end(notice, fmt::format("{} {}", exited ? "exited" : "signal", report.code));
      return {};
    }
    exit_code_ = report.shell_code();
    return fail_errno(report.code, fmt::format("start {}", command_.program));
  }

  Status tell(JobState state) {
    JobNotice notice{.state = state};
    if (state != JobState::starting) {
      auto identity = header_.identity();
      TRY(notice.name.set(identity.name, "name"));
      TRY(notice.release.set(identity.release, "release"));
      notice.signer = identity.signer;
    }
    if (state == JobState::unpacking) TRY(notice.notice.set(notice_, "notice"));
    if (state == JobState::running) set_weaker(notice);
    return plan_.listener.send(notice);
  }

  void set_weaker(JobNotice& notice) {
    std::string text;
    for (std::size_t i = 0; i < sandbox::kWallCount; ++i) {
      const auto& entry = process_.walls.entries[i];
      if (entry.state != sandbox::WallState::unavailable) continue;
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", to_string(static_cast<Wall>(i)),
                          entry.note.view());
    }
    text.resize(std::min(text.size(), sizeof notice.weaker.data - 1));
    if (!notice.weaker.set(text, "walls")) log_.warning("walls cannot be told");
  }

  // The last notice, with the diagnostic bundle if there is to be one.
  void tell_end(JobNotice notice, const std::string& end) {
    auto bundle = make_bundle(end);
    if (!bundle) log_.warning("diagnostics: {}", bundle.error().message());
    int fd = bundle ? bundle->get() : -1;
    auto sent = plan_.listener.send(notice, fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1));
    if (!sent) log_.warning("{}", sent.error().message());
  }

  void tell_failure(const Error& error) {
    JobNotice notice{.state = JobState::failed, .exit_code = exit_code_};
    notice.error.set(error);
    tell_end(notice, error.message());
  }

  // None if nobody asked for it, or if the application never started.
  Result<sys::Fd> make_bundle(const std::string& end) {
    if (plan_.order->diagnostics == 0 || !started_) return sys::Fd();
    drain_errors();
    return diagnostics_.bundle(header_, std::string(plan_.order->entry.view()), end);
  }

  std::string package_path() const { return plan_.work_path + "/package"; }
  std::string root_path() const { return plan_.work_path + "/root"; }

  LaunchPlan plan_;
  const Log& log_;
  uid_t user_ = 0;
  sandbox::WallReport walls_;  // those that the launcher builds
  sys::Dir share_;
  sys::Fd package_;
  package::RawStart start_;
  std::string notice_;  // the keeper's
  package::Header header_;
  package::Manifest manifest_;
  Command command_;
  std::optional<sandbox::Cgroup> cgroup_;
  JobProcess process_;
  sys::Fd errors_;
  JobDiagnostics diagnostics_;
  int exit_code_ = kExitFailed;
  bool started_ = false;  // the application
  bool cancelled_ = false;
};

}  // namespace

int run_launcher(LaunchPlan plan, const Log& log) {
  ::signal(SIGPIPE, SIG_IGN);
  return Launcher(std::move(plan), log).run();
}

}  // namespace cloister::enclave
