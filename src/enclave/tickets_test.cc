#include "enclave/tickets.h"

#include <gtest/gtest.h>

namespace cloister::enclave {
namespace {

TEST(Tickets, OpenOnceOnly) {
  Tickets tickets;
  LaneRight right{.client = crypto::sha256(as_bytes("client")), .purpose = LanePurpose::notifications};
  auto ticket = tickets.issue(right);
  ASSERT_TRUE(ticket);
  auto first = tickets.redeem(*ticket);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->client, right.client);
  EXPECT_EQ(first->purpose, LanePurpose::notifications);
  EXPECT_FALSE(tickets.redeem(*ticket));
}

TEST(Tickets, EveryFlippedBitIsRefused) {
  Tickets tickets;
  auto ticket = tickets.issue({});
  ASSERT_TRUE(ticket);
  for (std::size_t bit = 0; bit < kTicketSize * 8; ++bit) {
    auto forged = *ticket;
    forged[bit / 8] = static_cast<std::uint8_t>(forged[bit / 8] ^ (1u << bit % 8));
    EXPECT_FALSE(tickets.redeem(forged)) << bit;
  }
  EXPECT_TRUE(tickets.redeem(*ticket));
}

TEST(Tickets, AreBounded) {
  Tickets tickets;
  for (std::size_t i = 0; i < kMaxTickets; ++i) ASSERT_TRUE(tickets.issue({}));
  auto one_more = tickets.issue({});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().kind(), ErrorKind::exhausted);
}

}  // namespace
}  // namespace cloister::enclave
