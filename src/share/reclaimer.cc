#include "share/reclaimer.h"

#include <new>

#include "share/filesystem.h"
#include "share/notify.h"

namespace cloister::share {

namespace {

constexpr std::chrono::milliseconds kPause{5};   // for what was let go of to be forgotten
constexpr std::chrono::milliseconds kRest{250};  // where all that is remembered is in use
constexpr std::chrono::milliseconds kBrake{2};   // per request, where there is hardly room
constexpr std::chrono::milliseconds kPatience{
    500};  // for the client to confirm: jobs' changes wait behind it

}  // namespace

Reclaimer::~Reclaimer() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Reclaimer::pace() {
  if (!fs_.crowded()) return;
  wake();
  if (fs_.nearly_full()) std::this_thread::sleep_for(kBrake);
}

void Reclaimer::wake() {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable() && !ending_) thread_ = std::thread([this] { run(); });
  wanted_ = true;
  changed_.notify_all();
}

// A client that does not confirm keeps what it has, and gets ENFILE in the end; so does one that is asked for
// nothing because memory is short.
bool Reclaimer::ask_for_some() {
  try {
    auto deadline = sys::Deadline::after(kPatience);
    std::vector<Bytes> surplus;
    if (notifier_.catch_up(deadline)) surplus = fs_.surplus();
    (void)notifier_.deliver(surplus, deadline).has_value();
    return !surplus.empty();
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Not on a lane: the kernel lets go of a name only once the requests that hold its directory are answered.
void Reclaimer::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    changed_.wait(lock, [this] { return wanted_ || ending_; });
    if (ending_) return;
    lock.unlock();
    bool asked = ask_for_some();
    lock.lock();
    wanted_ = false;
    changed_.wait_for(lock, !asked ? kRest : kPause, [this] { return ending_; });
  }
}

}  // namespace cloister::share
