#include "enclave/tickets.h"

namespace cloister::enclave {

Result<Ticket> Tickets::issue(const LaneRight& right) {
  Ticket ticket;
  crypto::fill_random(ticket);
  std::lock_guard lock(mutex_);
  std::erase_if(open_, [](const auto& entry) { return entry.second.expiry.passed(); });
  if (open_.size() >= kMaxTickets)
    return fail(ErrorKind::exhausted, "{} tickets wait to be used", kMaxTickets);
  open_.insert_or_assign(crypto::sha256(ticket), Entry{right, sys::Deadline::after(kTicketLifetime)});
  return ticket;
}

Result<LaneRight> Tickets::redeem(const Ticket& ticket) {
  std::lock_guard lock(mutex_);
  auto found = open_.extract(crypto::sha256(ticket));
  if (found.empty() || found.mapped().expiry.passed()) return fail(ErrorKind::denied, "no such ticket");
  return found.mapped().right;
}

}  // namespace cloister::enclave
