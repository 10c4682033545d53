#include "share/links.h"

#include <gtest/gtest.h>

#include "fuse/limits.h"
#include "share/limits.h"

namespace cloister::share {
namespace {

TEST(Climbs, CountsTheFrontAndRefusesTheRest) {
  EXPECT_EQ(climbs("a/b"), 0U);
  EXPECT_EQ(climbs("./a//b/"), 0U);
  EXPECT_EQ(climbs(".."), 1U);
  EXPECT_EQ(climbs(".././../a"), 2U);
  EXPECT_EQ(climbs("..a/...b"), 0U);
  for (std::string_view target : {"", "/", "/a", "a/..", "../a/../..", "a/../b"})
    EXPECT_EQ(climbs(target), std::nullopt) << target;
  EXPECT_EQ(climbs(std::string(fuse::kMaxSymlink + 1, 'a')), std::nullopt);
  EXPECT_EQ(climbs(std::string_view("a\0b", 3)), std::nullopt);
}

TEST(HostMade, AreOfOneInodeTargetAndPlace) {
  HostMade links;
  links.made(10, 1, "/etc", false);
  EXPECT_TRUE(links.is_host_made(10, 1, "/etc"));
  EXPECT_FALSE(links.is_host_made(10, 2, "/etc"));
  EXPECT_FALSE(links.is_host_made(10, 1, "/usr"));
  EXPECT_FALSE(links.is_host_made(11, 1, "/etc"));
  links.placed(10, 2, 3, false);  // from where it never was
  EXPECT_FALSE(links.is_host_made(10, 3, "/etc"));
  links.placed(10, 1, 3, false);
  EXPECT_TRUE(links.is_host_made(10, 3, "/etc"));
}

TEST(HostMade, KeepOnlyWhatIsThereAndNeedsThem) {
  HostMade links;
  links.made(10, 1, "a/b", false);  // anybody's would be shown
  EXPECT_EQ(links.size(), 0U);
  for (ino_t inode = 1; inode <= 2 * kMaxHostMade; ++inode) {
    links.made(inode, 1, "/etc", false);
    EXPECT_TRUE(links.is_host_made(inode, 1, "/etc"));
    links.gone(inode);
    EXPECT_FALSE(links.is_host_made(inode, 1, "/etc"));
  }
  EXPECT_EQ(links.size(), 0U);
  links.made(10, 1, "/etc", false);
  links.made(10, 1, "b", false);  // the number is another link's now
  EXPECT_EQ(links.size(), 0U);
}

}  // namespace
}  // namespace cloister::share
