// RSA keys for KMS recipients, made ahead of need: generating one takes longer than the rest of a key
// release.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "crypto/keys.h"

namespace cloister::enclave {

// Owned by the keeper; thread-safe. A key leaves it once and is never put back, so each opens at most one
// envelope.
class RecipientKeys {
 public:
  explicit RecipientKeys(std::size_t ahead);
  ~RecipientKeys();
  RecipientKeys(const RecipientKeys&) = delete;
  RecipientKeys& operator=(const RecipientKeys&) = delete;

  Result<crypto::PrivateKey> take();

 private:
  void fill();

  const std::size_t ahead_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<crypto::PrivateKey> ready_;
  bool stop_ = false;
  std::thread maker_;
};

}  // namespace cloister::enclave
