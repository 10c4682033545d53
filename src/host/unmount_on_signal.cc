#include "host/unmount_on_signal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/process.h"

namespace cloister::host {

namespace {

constexpr sys::milliseconds kHoldersGrace =
    sys::seconds(1);  // for those who hold a file of what was unmounted
constexpr sys::milliseconds kStill =
    sys::seconds(3);  // no request answered for so long: the enclave is stuck
constexpr sys::milliseconds kLook{20};

// While somebody holds a file, unmounting writes nothing.
void flush(const std::string& directory) {
  sys::Fd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (root) ::syncfs(root.get());
}

}  // namespace

Result<std::unique_ptr<UnmountOnSignal>> UnmountOnSignal::watch(share::Mount& mount,
                                                                const share::Lanes& lanes,
                                                                const share::Traffic& traffic) {
  std::vector<sys::Fd> copies;
  for (const auto& lane : lanes.requests) {
    sys::Fd copy(::fcntl(lane->descriptor(), F_DUPFD_CLOEXEC, 0));
    if (!copy) return fail_errno("duplicate a lane");
    copies.push_back(std::move(copy));
  }
  return std::unique_ptr<UnmountOnSignal>(new UnmountOnSignal(mount, traffic, std::move(copies)));
}

UnmountOnSignal::UnmountOnSignal(share::Mount& mount, const share::Traffic& traffic,
                                 std::vector<sys::Fd> lanes)
    : mount_(mount), traffic_(traffic), lanes_(std::move(lanes)) {
  sigemptyset(&over_);
  sigaddset(&over_, SIGUSR1);
  ending_ = over_;
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending_, number);
  ::pthread_sigmask(SIG_BLOCK, &ending_, nullptr);
  thread_ = std::thread([this] { run(); });
}

UnmountOnSignal::~UnmountOnSignal() {
  ::pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void UnmountOnSignal::run() {
  int number = 0;
  while (sigwait(&ending_, &number) == 0 && number != SIGUSR1) {
    told_ = true;
    if (unmount()) return;
  }
}

// In a process of its own, without the device: whoever asks a file system for something and serves it himself
// may wait for himself, and not even SIGKILL would end that.
pid_t UnmountOnSignal::unmount_elsewhere() const {
  pid_t pid = ::fork();
  if (pid != 0) return pid;
  (void)sys::close_descriptors_except(3, {}).has_value();
  flush(mount_.directory());
  (void)mount_.unmount().has_value();
  ::_exit(0);
}

bool UnmountOnSignal::pump_ends_within(sys::milliseconds time) const {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  timespec limit{seconds.count(), std::chrono::nanoseconds(time - seconds).count()};
  return ::sigtimedwait(&over_, nullptr, &limit) == SIGUSR1;
}

bool UnmountOnSignal::unmount() {
  pid_t helper = unmount_elsewhere();
  bool over = false;
  auto answered = traffic_.requests.load();
  auto patience = sys::Deadline::after(kStill);
  while (helper > 0 && !over && !patience.passed()) {
    over = pump_ends_within(kLook);
    if (::waitpid(helper, nullptr, WNOHANG) == helper) helper = -1;
    if (auto now = traffic_.requests.load(); now != answered) {
      answered = now;
      patience = sys::Deadline::after(kStill);
    }
  }
  over = over || pump_ends_within(helper > 0 ? kLook : kHoldersGrace);
  // Without lanes the pump answers all with an error, and ends: what the helper waits for, too.
  for (const auto& lane : lanes_) ::shutdown(lane.get(), SHUT_RDWR);
  if (helper > 0) ::waitpid(helper, nullptr, 0);
  return over;
}

}  // namespace cloister::host
