#include "share/lock_grants.h"

#include <unistd.h>

#include "fuse/notification.h"

namespace cloister::share {

LockGrants::LockGrants() : thread_([this] { run(); }) {}

LockGrants::~LockGrants() {
  stop();
}

void LockGrants::stop() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LockGrants::deliver(int device, std::uint64_t node, Bytes reply) {
  // Made here: the thread below has nobody to tell that memory is short.
  auto drop = fuse::encode_inval_inode(node);
  std::lock_guard lock(mutex_);
  if (ending_) {
    // The mount ends: what its kernel has cached goes with it.
    static_cast<void>(!::write(device, reply.data(), reply.size()));
    return;
  }
  waiting_.push_back({device, std::move(drop), std::move(reply)});
  changed_.notify_one();
}

void LockGrants::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    auto grant = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    // Failures: the kernel does not know the node or the request any more, or the mount is gone.
    static_cast<void>(!::write(grant.device, grant.drop.data(), grant.drop.size()));
    static_cast<void>(!::write(grant.device, grant.reply.data(), grant.reply.size()));
    lock.lock();
  }
}

}  // namespace cloister::share
