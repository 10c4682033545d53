// Places among a bounded number, in all and for each client: one client can use up its own, not the others'.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "enclave/messages.h"

namespace cloister::enclave {

// Owned by the listener, and outlives what it gives out; thread-safe.
class Slots {
 public:
  Slots(std::size_t limit, std::size_t limit_per_client) : limit_(limit), per_client_(limit_per_client) {}

  // Given back when dropped.
  class Slot {
   public:
    Slot(Slot&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)), client_(other.client_) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->give_back(client_);
    }

   private:
    friend class Slots;
    Slot(Slots& slots, const ClientId& client) : slots_(&slots), client_(client) {}
    Slots* slots_;
    ClientId client_;
  };

  // nullopt: this client, or all together, have as many as they may.
  std::optional<Slot> take(const ClientId& client);
  std::size_t used() const;

 private:
  void give_back(const ClientId& client);

  const std::size_t limit_;
  const std::size_t per_client_;
  mutable std::mutex mutex_;
  std::size_t used_ = 0;
  std::map<ClientId, std::size_t> by_client_;  // none that is 0
};

}  // namespace cloister::enclave
