#include "host/unmount_on_signal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/write_back.h"
#include "sys/process.h"

namespace cloister::host {

namespace {

// For those who hold a file of what was unmounted: so long after the last request, and so long in all.
constexpr sys::milliseconds kHoldersGrace = sys::seconds(1);
constexpr sys::milliseconds kHoldersMost = sys::seconds(30);
constexpr sys::milliseconds kStill =
    sys::seconds(3);  // no request answered for so long: the enclave is stuck
constexpr sys::milliseconds kLook{20};

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
  sigemptyset(&wake_);
  sigaddset(&wake_, SIGUSR1);
  ending_ = wake_;
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending_, number);
  ::pthread_sigmask(SIG_BLOCK, &ending_, nullptr);
  thread_ = std::thread([this] { run(); });
}

UnmountOnSignal::~UnmountOnSignal() {
  over_ = true;
  ::pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void UnmountOnSignal::run() {
  int number = 0;
  while (sigwait(&ending_, &number) == 0 && !over_) {
    if (number == SIGUSR1) continue;  // somebody else's
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
  // While somebody holds a file, unmounting writes nothing.
  (void)write_back(mount_.directory()).has_value();
  (void)mount_.unmount().has_value();
  ::_exit(0);
}

// Waits while it goes on and requests are answered, none for `patience` at most. Returns whether the pump has
// ended.
bool UnmountOnSignal::wait_while(sys::milliseconds patience, const std::function<bool()>& goes_on) const {
  auto answered = traffic_.requests.load();
  auto deadline = sys::Deadline::after(patience);
  while (!over_ && !deadline.passed() && goes_on()) {
    timespec look{0, std::chrono::nanoseconds(kLook).count()};
    ::sigtimedwait(&wake_, nullptr, &look);
    if (auto now = traffic_.requests.load(); now != answered) {
      answered = now;
      deadline = sys::Deadline::after(patience);
    }
  }
  return over_;
}

bool UnmountOnSignal::unmount() {
  pid_t helper = unmount_elsewhere();
  bool over = wait_while(kStill, [&] {
    if (helper > 0 && ::waitpid(helper, nullptr, WNOHANG) == helper) helper = -1;
    return helper > 0;
  });
  auto most = sys::Deadline::after(kHoldersMost);
  if (!over && helper <= 0) wait_while(kHoldersGrace, [&] { return !most.passed(); });
  // Without lanes the pump answers all with an error, and ends: what the helper waits for, too.
  for (const auto& lane : lanes_) ::shutdown(lane.get(), SHUT_RDWR);
  if (helper > 0) ::waitpid(helper, nullptr, 0);
  return over_;
}

}  // namespace cloister::host
