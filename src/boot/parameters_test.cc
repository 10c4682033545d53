#include "boot/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::boot {
namespace {

TEST(Parameters, SayWhereTheParentIs) {
  EXPECT_EQ(parse_parameters("").value().parent_cid, kNitroParentCid);
  EXPECT_EQ(parse_parameters("reboot=k console=ttyS0\n").value().parent_cid, 3U);
  EXPECT_EQ(parse_parameters("reboot=k  cloister.parent_cid=2 reboot=t\n").value().parent_cid, 2U);
  EXPECT_EQ(parse_parameters("cloister.parent_cid=2 cloister.parent_cid=7").value().parent_cid, 7U);
}

TEST(Parameters, NameNoCidThatIsNoParents) {
  for (const char* text :
       {"cloister.parent_cid=", "cloister.parent_cid=1", "cloister.parent_cid=0", "cloister.parent_cid=-1",
        "cloister.parent_cid=4294967295", "cloister.parent_cid=99999999999", "cloister.parent_cid=2x"})
    EXPECT_FALSE(parse_parameters(text)) << text;
}

// kernel ‖ command line is measured as one run of bytes: what is cut off the front of the one ends the other.
TEST(CommandLine, MayBeLengthenedAndNotCut) {
  constexpr std::string_view kMade = "reboot=k panic=30 random.trust_cpu=off";
  EXPECT_TRUE(check_command_line("reboot=k panic=30 random.trust_cpu=off\n", kMade));
  EXPECT_TRUE(check_command_line("reboot=k panic=30 random.trust_cpu=off reboot=t\n", kMade));
  EXPECT_TRUE(check_command_line(kMade, kMade));
  for (std::string_view other :
       {"panic=30 random.trust_cpu=off\n", "reboot=k panic=30", "",
        "reboot=k panic=30 random.trust_cpu=offx\n", "\n", "x reboot=k panic=30 random.trust_cpu=off"})
    EXPECT_FALSE(check_command_line(other, kMade)) << other;
  EXPECT_FALSE(check_command_line("anything", ""));
}

// The command line can be lengthened by the parent and is not measured. Whatever else it says, init must not
// have a name for it.
TEST(Parameters, HaveNoOtherWord) {
  auto found = parse_parameters("cloister.trust=/tmp/x cloister.mode=simulated parent_cid=9 init=/bin/sh");
  EXPECT_EQ(found.value().parent_cid, kNitroParentCid);
}

}  // namespace
}  // namespace cloister::boot
