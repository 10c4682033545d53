#include "enclave/recipient_keys.h"

namespace cloister::enclave {

RecipientKeys::RecipientKeys(std::size_t ahead) : ahead_(ahead), maker_([this] { fill(); }) {}

RecipientKeys::~RecipientKeys() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wanted_.notify_all();
  maker_.join();
}

Result<crypto::PrivateKey> RecipientKeys::take() {
  std::unique_lock lock(mutex_);
  if (!ready_.empty()) {
    auto key = std::move(ready_.front());
    ready_.pop_front();
    wanted_.notify_all();
    return key;
  }
  lock.unlock();
  return crypto::PrivateKey::generate(crypto::KeyType::rsa2048);
}

void RecipientKeys::fill() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (ready_.size() >= ahead_) {
      wanted_.wait(lock);
      continue;
    }
    lock.unlock();
    auto key = crypto::PrivateKey::generate(crypto::KeyType::rsa2048);
    lock.lock();
    if (!key) return;  // take() will make its own and report why it cannot
    ready_.push_back(*std::move(key));
  }
}

}  // namespace cloister::enclave
