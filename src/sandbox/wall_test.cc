#include "sandbox/wall.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace cloister::sandbox {
namespace {

TEST(Wall, EveryNameLeadsBackToItsWall) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kWallCount; ++i) {
    auto wall = static_cast<Wall>(i);
    names.insert(to_string(wall));
    auto back = wall_from(to_string(wall));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, wall);
  }
  EXPECT_EQ(names.size(), kWallCount);
  EXPECT_EQ(to_string(Wall::landlock), "landlock");
  EXPECT_EQ(to_string(Wall::seccomp), "seccomp");
  EXPECT_EQ(to_string(Wall::cgroup_memory), "cgroup_memory");
}

TEST(Wall, AnUnknownNameIsRefused) {
  EXPECT_FALSE(wall_from(""));
  EXPECT_FALSE(wall_from("Seccomp"));
  EXPECT_FALSE(wall_from("firewall"));
}

TEST(WallReport, AWallThatNobodyBuiltFailsTheMinimum) {
  WallReport report;
  EXPECT_TRUE(report.require({}));
  auto status = report.require({Wall::seccomp});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind(), ErrorKind::denied);
  EXPECT_EQ(status.error().message(), "the wall seccomp does not hold: it was not built");
}

TEST(WallReport, ALackingWallFailsTheMinimumWithItsReason) {
  WallReport report;
  report.hold(Wall::seccomp, "job");
  report.lack(Wall::landlock, "kernel without Landlock");
  EXPECT_TRUE(report.require({Wall::seccomp}));
  auto status = report.require({Wall::seccomp, Wall::landlock});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(), "the wall landlock does not hold: kernel without Landlock");
}

TEST(WallReport, MergingKeepsWhatIsKnown) {
  WallReport inner;
  inner.hold(Wall::seccomp);
  inner.lack(Wall::mounts, "forged");
  WallReport outer;
  outer.hold(Wall::mounts);
  outer.merge(inner);
  EXPECT_TRUE(outer.held(Wall::mounts));
  EXPECT_TRUE(outer.held(Wall::seccomp));
}

TEST(WallReport, ALongNoteIsCut) {
  WallReport report;
  report.lack(Wall::idmap, std::string(500, 'x'));
  EXPECT_EQ(report.at(Wall::idmap).note.view().size(), 119U);
}

}  // namespace
}  // namespace cloister::sandbox
