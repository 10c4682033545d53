#include "enclave/slots.h"

#include <gtest/gtest.h>

#include <vector>

namespace cloister::enclave {
namespace {

ClientId client(std::uint8_t number) {
  ClientId id{};
  id[0] = number;
  return id;
}

TEST(Slots, OneClientCannotTakeTheOthersPlaces) {
  Slots slots(4, 2);
  std::vector<Slots::Slot> greedy;
  while (auto slot = slots.take(client(1))) greedy.push_back(*std::move(slot));
  EXPECT_EQ(greedy.size(), 2u);
  EXPECT_TRUE(slots.take(client(2)));
}

TEST(Slots, TheSumIsBoundedToo) {
  Slots slots(3, 2);
  std::vector<Slots::Slot> taken;
  for (std::uint8_t number = 1; number <= 3; ++number) taken.push_back(*slots.take(client(number)));
  EXPECT_FALSE(slots.take(client(4)));
  taken.pop_back();
  EXPECT_TRUE(slots.take(client(4)));
}

TEST(Slots, APlaceIsGivenBackOnceHoweverOftenItMoves) {
  Slots slots(1, 1);
  {
    auto first = slots.take(client(1));
    auto second = std::move(*first);
    auto third = std::move(second);
    EXPECT_FALSE(slots.take(client(1)));
  }
  auto again = slots.take(client(1));
  EXPECT_TRUE(again);
  EXPECT_FALSE(slots.take(client(1)));
}

}  // namespace
}  // namespace cloister::enclave
