#include "enclave/share_budget.h"

#include <gtest/gtest.h>

namespace cloister::enclave {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

TEST(ShareBudget, QuotasThatFitTogetherAreNotWatched) {
  ShareBudget budget(64 * kMib, 16 * kMib);  // with its files a full share takes 24 MiB
  EXPECT_FALSE(budget.is_short_for(0));
  EXPECT_FALSE(budget.is_short_for(2));
  EXPECT_TRUE(budget.is_short_for(3));
}

TEST(ShareBudget, EachMayHaveItsQuotaWhileThereIsRoom) {
  ShareBudget budget(100 * kMib, 16 * kMib);
  std::vector<ShareSpace> used{{.bytes = 0, .files = 5}, {.bytes = 16 * kMib, .files = 7}};
  for (const auto& limit : budget.limits(used)) EXPECT_EQ(limit, budget.quota());
}

TEST(ShareBudget, WhatOneTakesIsMissingForTheOthers) {
  ShareBudget budget(32 * kMib, 24 * kMib);
  std::vector<ShareSpace> used{{.bytes = 20 * kMib, .files = 512}, {.bytes = kMib, .files = 512}};
  EXPECT_EQ(budget.left(used), 9 * kMib);
  auto limits = budget.limits(used);
  EXPECT_EQ(limits[0].bytes, 24 * kMib);  // its quota comes before the end of the budget
  EXPECT_EQ(limits[1].bytes, 10 * kMib);
  EXPECT_EQ(limits[1].files, 512 + 9 * kMib / kBytesPerFile);
}

TEST(ShareBudget, EmptyFilesCount) {
  ShareBudget budget(8 * kMib, 8 * kMib);
  std::vector<ShareSpace> used{{.bytes = 0, .files = 2048}, {.bytes = 0, .files = 1024}};
  EXPECT_EQ(budget.left(used), 2 * kMib);
  EXPECT_EQ(budget.limits(used)[1].bytes, 2 * kMib);
}

TEST(ShareBudget, QuietSharesAreLookedAtAsOftenAsTheyCouldFillUp) {
  constexpr std::uint64_t kGib = 1024 * kMib;
  ShareBudget budget(64 * kGib, 64 * kGib);
  auto interval = [&](std::uint64_t held) {
    std::vector<ShareSpace> used{{.bytes = held, .files = 0}, {}};
    return budget.quiet_interval(used);
  };
  EXPECT_EQ(interval(0), kQuietInterval);
  EXPECT_EQ(interval(60 * kGib), std::chrono::milliseconds(512));
  EXPECT_EQ(interval(64 * kGib), kBalanceInterval);
}

TEST(ShareBudget, NothingIsTakenAwayAndNoLimitIsZero) {
  ShareBudget budget(4 * kMib, 4 * kMib);
  std::vector<ShareSpace> used{{.bytes = 3 * kMib, .files = 600}, {.bytes = 3 * kMib, .files = 5}, {}};
  EXPECT_EQ(budget.left(used), 0U);
  auto limits = budget.limits(used);
  EXPECT_EQ(limits[0], used[0]);
  EXPECT_EQ(limits[1], used[1]);
  EXPECT_EQ(limits[2], (ShareSpace{.bytes = 4096, .files = 1}));  // 0 would be "no limit" to a tmpfs
}

TEST(ShareBudget, AQuotaIsNeverMoreThanTheBudget) {
  EXPECT_EQ(ShareBudget(4 * kMib, 1024 * kMib).quota(), (ShareSpace{.bytes = 4 * kMib, .files = 1024}));
}

}  // namespace
}  // namespace cloister::enclave
