#include "enclave/slots.h"

namespace cloister::enclave {

std::optional<Slots::Slot> Slots::take(const ClientId& client) {
  std::lock_guard lock(mutex_);
  auto mine = by_client_.find(client);
  bool full = mine != by_client_.end() && mine->second >= per_client_;
  if (full || used_ >= limit_) return std::nullopt;
  ++by_client_[client];
  ++used_;
  return Slot(*this, client);
}

std::size_t Slots::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

void Slots::give_back(const ClientId& client) {
  std::lock_guard lock(mutex_);
  auto mine = by_client_.find(client);
  if (--mine->second == 0) by_client_.erase(mine);
  --used_;
}

}  // namespace cloister::enclave
