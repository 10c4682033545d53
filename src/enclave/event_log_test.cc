#include "enclave/event_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cloister::enclave {
namespace {

std::vector<std::string> read_all(EventLog& log) {
  EventLog::Follower follower(log);
  std::vector<std::string> out;
  while (auto line = follower.next()) out.push_back(*line);
  return out;
}

TEST(EventLog, GivesEveryEventInOrderToEveryFollower) {
  EventLog log;
  log.append("a");
  log.append("b");
  log.finish("end");
  EXPECT_EQ(read_all(log), (std::vector<std::string>{"a", "b", "end"}));
  EXPECT_EQ(read_all(log), (std::vector<std::string>{"a", "b", "end"}));
}

TEST(EventLog, AFollowerWaitsForWhatComesLater) {
  EventLog log;
  std::vector<std::string> seen;
  std::thread reader([&] { seen = read_all(log); });
  log.append("late");
  log.finish("end");
  reader.join();
  EXPECT_EQ(seen, (std::vector<std::string>{"late", "end"}));
}

TEST(EventLog, WithoutFollowersTheOldestGoAndTheGapIsTold) {
  EventLog log;
  const std::string piece(kMaxEventBytes / 4, 'x');
  for (int i = 0; i < 6; ++i) log.append(piece + std::to_string(i));
  log.finish("end");
  auto gap = fmt::format(R"({{"event":"dropped","bytes":{}}})", 3 * (piece.size() + 1));
  for (int follower = 0; follower < 2; ++follower) {
    auto seen = read_all(log);
    ASSERT_EQ(seen.size(), 5u);
    EXPECT_EQ(seen.front(), gap) << "follower " << follower;
    EXPECT_EQ(seen[3].back(), '5');
    EXPECT_EQ(seen.back(), "end");
  }
}

TEST(EventLog, AFollowerThatFellBehindAFasterOneIsToldWhatItMissed) {
  EventLog log;
  const std::string piece(kMaxEventBytes / 2, 'x');
  EventLog::Follower fast(log);
  EventLog::Follower slow(log);
  log.append(piece);
  EXPECT_EQ(slow.next(), piece);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fast.next(), piece);
    log.append(piece);
  }
  EXPECT_EQ(slow.next(), fmt::format(R"({{"event":"dropped","bytes":{}}})", piece.size()));
  EXPECT_EQ(slow.next(), piece);
}

TEST(EventLog, SilenceIsASignOfLife) {
  EventLog log;
  EventLog::Follower follower(log);
  EXPECT_EQ(follower.next(std::chrono::milliseconds(1)), R"({"event":"alive"})");
  log.append("a");
  EXPECT_EQ(follower.next(), "a");
}

TEST(EventLog, ASlowFollowerHoldsTheWriterAndLosesNothing) {
  EventLog log;
  const std::string piece(kMaxEventBytes / 8, 'x');
  std::size_t pieces = 0;
  EventLog::Follower follower(log);
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) log.append(piece);
    log.finish("end");
  });
  while (auto line = follower.next()) {
    if (line->front() == 'x') ++pieces;
    EXPECT_EQ(line->find("dropped"), std::string::npos);
  }
  writer.join();
  EXPECT_EQ(pieces, 40u);
}

TEST(EventLog, AbandoningFreesAWaitingWriter) {
  EventLog log;
  EventLog::Follower follower(log);
  const std::string piece(kMaxEventBytes / 4 * 3, 'x');
  log.append(piece);
  std::thread writer([&] { log.append(piece); });
  log.abandon();
  writer.join();
  log.finish("end");
}

}  // namespace
}  // namespace cloister::enclave
