// Tickets: 32 random bytes, good once and for 30 s, that let a plain lane in. They are given out over an
// attested session.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "enclave/messages.h"

namespace cloister::enclave {

inline constexpr std::size_t kTicketSize = 32;  // bytes
inline constexpr sys::milliseconds kTicketLifetime = sys::seconds(30);
inline constexpr std::size_t kMaxTickets = 1024;  // not yet used, of all clients

using Ticket = ByteArray<kTicketSize>;
enum class LanePurpose { requests, notifications };
struct LaneRight {
  ClientId client{};
  LanePurpose purpose{};
  std::uint64_t session = 0;  // lanes of one mount have the same
  bool exclusive = false;     // the mount wants the share to itself
};

// Owned by the listener; thread-safe.
class Tickets {
 public:
  Result<Ticket> issue(const LaneRight& right);
  // denied: unknown, used or expired; all look alike.
  Result<LaneRight> redeem(const Ticket& ticket);

 private:
  struct Entry {
    LaneRight right;
    sys::Deadline expiry;
  };
  std::mutex mutex_;
  // Keyed by the ticket's digest: a lookup's timing then tells nothing about the tickets themselves.
  std::map<crypto::Sha256, Entry> open_;
};

}  // namespace cloister::enclave
