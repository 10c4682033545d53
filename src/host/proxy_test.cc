#include "host/proxy.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

namespace cloister::host {
namespace {

struct Pair {
  sys::Fd inside;
  sys::Fd outside;
  Pair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    inside = sys::Fd(fds[0]);
    outside = sys::Fd(fds[1]);
  }
  bool ended() const {
    char byte = 0;
    return ::recv(outside.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }
};

TEST(WaitingRoom, MakesRoomByTheOldest) {
  WaitingRoom room(2);
  std::array<Pair, 4> pairs;
  auto first = room.enter(pairs[0].inside.get());
  auto second = room.enter(pairs[1].inside.get());
  EXPECT_FALSE(pairs[0].ended());
  auto third = room.enter(pairs[2].inside.get());
  EXPECT_TRUE(pairs[0].ended());
  EXPECT_FALSE(pairs[1].ended());
  EXPECT_FALSE(room.leave(first));
  EXPECT_TRUE(room.leave(second));  // it said where to: whoever comes now takes its place
  auto fourth = room.enter(pairs[3].inside.get());
  EXPECT_FALSE(pairs[2].ended());
  EXPECT_TRUE(room.leave(third));
  EXPECT_TRUE(room.leave(fourth));
}

TEST(WaitingRoom, ShutsEachDownOnce) {
  WaitingRoom room(1);
  std::array<Pair, 3> pairs;
  std::vector<WaitingRoom::Place> places;
  places.reserve(pairs.size());
  for (auto& pair : pairs) places.push_back(room.enter(pair.inside.get()));
  EXPECT_TRUE(pairs[0].ended() && pairs[1].ended());
  EXPECT_FALSE(pairs[2].ended());
  EXPECT_FALSE(room.leave(places[1]));
  EXPECT_FALSE(room.leave(places[0]));
  EXPECT_TRUE(room.leave(places[2]));
}

}  // namespace
}  // namespace cloister::host
