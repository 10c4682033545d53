#include "host/qemu_machine.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/log.h"
#include "sys/endpoint.h"
#include "sys/process.h"
#include "sys/stream.h"

namespace cloister::host {

namespace {

constexpr unsigned kHeartbeatPort = 9000;
constexpr std::uint8_t kHeartbeat = 0xb7;
constexpr sys::milliseconds kHeartbeatPatience = sys::seconds(2);
constexpr sys::milliseconds kDeviceTimeout = sys::seconds(10);  // until a device's socket is there
constexpr sys::milliseconds kMachineGrace = sys::seconds(1);
constexpr int kDevicePause = 10;  // milliseconds between two looks

// A program with an empty environment but for a PATH, killed when this process ends.
Result<sys::Child> start(const Command& command) {
  return sys::fork_child([&] {
    std::vector<char*> argv;
    for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    char path[] = "PATH=/usr/bin:/bin";
    char* environment[] = {path, nullptr};
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(argv[0], argv.data(), environment);
    return 127;
  });
}

bool is_socket(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

class RunningMachine {
 public:
  explicit RunningMachine(const Machine& machine) : machine_(machine) {}

  Status run() {
    TRY(prepare());
    module_ = TRY(start_device(security_module_command(machine_), machine_.module_path()));
    vsock_ = TRY(start_device(vsock_device_command(machine_), machine_.vhost_path()));
    machine_process_ = TRY(start(machine_command(machine_)));
    return watch();
  }

 private:
  Status prepare() {
    sigset_t heard;
    sigemptyset(&heard);
    for (int number : {SIGTERM, SIGINT}) sigaddset(&heard, number);
    ::sigprocmask(SIG_BLOCK, &heard, nullptr);
    signals_ = sys::Fd(::signalfd(-1, &heard, SFD_CLOEXEC));
    if (!signals_) return fail_errno("signalfd");
    ::unlink(machine_.booted_path().c_str());  // of an earlier try
    // Guest port N of the parent is this path with _N.
    auto path = fmt::format("{}_{}", machine_.vsock_path(), kHeartbeatPort);
    heartbeat_ = TRY(sys::listen(sys::Endpoint::unix_socket(path)));
    return {};
  }

  static Result<sys::Child> start_device(const Command& command, const std::string& socket) {
    ::unlink(socket.c_str());
    auto child = TRY(start(command));
    auto deadline = sys::Deadline::after(kDeviceTimeout);
    while (!is_socket(socket)) {
      if (deadline.passed()) return fail(ErrorKind::unavailable, "{} makes no socket", command.front());
      pollfd entry{child.pidfd(), POLLIN, 0};
      if (::poll(&entry, 1, kDevicePause) > 0)
        return fail(ErrorKind::unavailable, "{} ended with code {}", command.front(),
                    TRY(child.wait()).shell_code());
    }
    return child;
  }

  // Success: told to end. Whatever has been started ends with this object.
  Status watch() {
    for (;;) {
      std::array<pollfd, 5> entries{{{signals_.get(), POLLIN, 0},
                                     {machine_process_.pidfd(), POLLIN, 0},
                                     {module_.pidfd(), POLLIN, 0},
                                     {vsock_.pidfd(), POLLIN, 0},
                                     {heartbeat_.get(), POLLIN, 0}}};
      if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
      if (entries[0].revents != 0) return {};
      if (entries[1].revents != 0)
        return fail(ErrorKind::unavailable, "the machine has ended with code {}",
                    TRY(machine_process_.wait()).shell_code());
      // The devices end when the machine does: then it is the machine that is to be told of.
      if ((entries[2].revents | entries[3].revents) != 0) {
        if (auto ended = machine_process_.wait(sys::Deadline::after(kMachineGrace)))
          return fail(ErrorKind::unavailable, "the machine has ended with code {}", ended->shell_code());
      }
      if (entries[2].revents != 0) return fail(ErrorKind::unavailable, "the security module has ended");
      if (entries[3].revents != 0) return fail(ErrorKind::unavailable, "the vsock device has ended");
      if (entries[4].revents != 0) answer_heartbeat();
    }
  }

  void answer_heartbeat() {
    auto connection = sys::accept(heartbeat_.get(), sys::Deadline::after(kHeartbeatPatience));
    if (!connection) return;
    sys::FdStream stream(std::move(*connection));
    stream.set_deadline(sys::Deadline::after(kHeartbeatPatience));
    std::array<std::uint8_t, 1> beat{};
    if (!sys::read_exactly(stream, beat) || beat[0] != kHeartbeat || !stream.write_all(beat)) return;
    sys::Fd sign(::open(machine_.booted_path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  }

  const Machine& machine_;
  sys::Fd signals_;
  sys::Fd heartbeat_;
  sys::Child module_;
  sys::Child vsock_;
  sys::Child machine_process_;
};

}  // namespace

int run_machine(const Machine& machine) {
  Log log(STDERR_FILENO, "qemu");
  log.info("{}, {} MiB, {} processors", to_string(machine.accelerator), machine.memory_mib, machine.cpus);
  auto done = RunningMachine(machine).run();
  if (!done) log.error("{}", done.error().message());
  return done ? 0 : 1;
}

}  // namespace cloister::host
