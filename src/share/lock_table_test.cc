// Locks: the ranges that are counted, and the requests that take and meet them.
#include "share/lock_table.h"

#include <fcntl.h>

#include <array>
#include <random>

#include "share/limits.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

// Against a file of 64 bytes that are locked one by one.
TEST(LockRanges, AreWhatAMapOfBytesSays) {
  std::mt19937 random(7);
  std::array<std::uint32_t, 64> bytes;
  bytes.fill(F_UNLCK);
  LockRanges ranges;
  for (int step = 0; step < 20'000; ++step) {
    auto first = random() % 64;
    auto last = first + random() % (64 - first);
    std::uint32_t type = std::array<std::uint32_t, 3>{F_RDLCK, F_WRLCK, F_UNLCK}[random() % 3];
    ranges.set(first, last, type);
    std::fill(bytes.begin() + static_cast<int>(first), bytes.begin() + static_cast<int>(last) + 1, type);
    std::size_t runs = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != F_UNLCK && (i == 0 || bytes[i - 1] != bytes[i])) ++runs;
      auto met = ranges.conflict(i, i, F_WRLCK);
      ASSERT_EQ(met.has_value(), bytes[i] != F_UNLCK) << step << " at " << i;
      if (met) ASSERT_EQ(met->type, bytes[i]);
      ASSERT_EQ(ranges.conflict(i, i, F_RDLCK).has_value(), bytes[i] == F_WRLCK);
    }
    ASSERT_EQ(ranges.size(), runs) << step;
  }
}

constexpr std::uint64_t kEnd = INT64_MAX;

// Two mounts of one share.
class LockTest : public ShareTest {
 protected:
  void SetUp() override {
    ShareTest::SetUp();
    write_text(root / "f", "content");
    node = node_of("f");
    handle = open(node, O_RDWR);
  }
  Answer set(std::uint64_t owner, std::uint32_t type, std::uint64_t start = 0, std::uint64_t end = kEnd,
             std::uint32_t pid = 0, std::uint32_t flags = 0) {
    return ask(FUSE_SETLK, node,
               with(fuse_lk_in{.fh = handle,
                               .owner = owner,
                               .lk = {.start = start, .end = end, .type = type, .pid = pid},
                               .lk_flags = flags}));
  }
  fuse_file_lock test(std::uint64_t owner, std::uint32_t type, std::uint64_t start = 0,
                      std::uint64_t end = kEnd) {
    return ask(FUSE_GETLK, node,
               with(fuse_lk_in{
                   .fh = handle, .owner = owner, .lk = {.start = start, .end = end, .type = type, .pid = 0}}))
        .as<fuse_lk_out>()
        .lk;
  }
  void flush(std::uint64_t owner) {
    EXPECT_EQ(ask(FUSE_FLUSH, node, with(fuse_flush_in{.fh = handle, .lock_owner = owner})).error, 0);
  }
  // As a job or another mount would: with a lock of its own on the file itself.
  bool locked_for_others(short type, off_t start = 0, off_t length = 0) {
    sys::Fd fd(::open((root / "f").c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock{};
    lock.l_type = type;
    lock.l_start = start;
    lock.l_len = length;
    return ::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0;
  }
  std::uint64_t node = 0;
  std::uint64_t handle = 0;
};

TEST_F(LockTest, OwnersExcludeEachOther) {
  EXPECT_EQ(set(1, F_WRLCK, 10, 19).error, 0);
  EXPECT_EQ(set(2, F_RDLCK, 15, 30).error, EAGAIN);
  EXPECT_EQ(set(2, F_RDLCK, 20, 30).error, 0);
  EXPECT_EQ(set(1, F_RDLCK, 20, 30).error, 0);
  EXPECT_EQ(set(1, F_WRLCK, 20, 30).error, EAGAIN);
  EXPECT_EQ(set(1, F_UNLCK).error, 0);
  EXPECT_EQ(set(2, F_WRLCK, 0, kEnd).error, 0);
  EXPECT_EQ(server_->stats().locks, 1U);
}

TEST_F(LockTest, SomeoneElsesLockIsTold) {
  EXPECT_EQ(set(1, F_WRLCK, 10, 19, 4711).error, 0);
  auto met = test(2, F_RDLCK);
  EXPECT_EQ(met.type, static_cast<std::uint32_t>(F_WRLCK));
  EXPECT_EQ(met.start, 10U);
  EXPECT_EQ(met.end, 19U);
  EXPECT_EQ(met.pid, 4711U);
  EXPECT_EQ(test(1, F_WRLCK).type, static_cast<std::uint32_t>(F_UNLCK));
  EXPECT_EQ(test(2, F_WRLCK, 20, 30).type, static_cast<std::uint32_t>(F_UNLCK));
}

TEST_F(LockTest, JobsAndOtherMountsMeetThem) {
  EXPECT_EQ(set(1, F_WRLCK, 10, 19).error, 0);
  EXPECT_TRUE(locked_for_others(F_RDLCK, 15, 1));
  EXPECT_FALSE(locked_for_others(F_WRLCK, 20, 5));
  sys::Fd theirs(::open((root / "f").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_start = 100;
  lock.l_len = 10;
  ASSERT_EQ(::fcntl(theirs.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(set(1, F_WRLCK, 105, 105).error, EAGAIN);
  auto met = test(1, F_WRLCK, 100, 200);
  EXPECT_EQ(met.start, 100U);
  EXPECT_EQ(met.end, 109U);
  EXPECT_EQ(met.pid, 0U);
}

TEST_F(LockTest, AnyCloseEndsTheOwnersLocks) {
  EXPECT_EQ(set(1, F_WRLCK, 0, 9).error, 0);
  EXPECT_EQ(set(2, F_WRLCK, 10, 19).error, 0);
  flush(1);
  EXPECT_FALSE(locked_for_others(F_WRLCK, 0, 10));
  EXPECT_TRUE(locked_for_others(F_WRLCK, 10, 10));
  EXPECT_EQ(server_->stats().locks, 1U);
}

TEST_F(LockTest, WholeFilesAreLockedByTheirHandle) {
  auto other = open(node, O_RDONLY);
  EXPECT_EQ(set(1, F_WRLCK, 0, kEnd, 0, FUSE_LK_FLOCK).error, 0);
  std::swap(handle, other);
  EXPECT_EQ(set(2, F_RDLCK, 0, kEnd, 0, FUSE_LK_FLOCK).error, EAGAIN);
  std::swap(handle, other);
  EXPECT_EQ(ask(FUSE_RELEASE, node, with(fuse_release_in{.fh = handle})).error, 0);
  handle = other;
  EXPECT_EQ(set(2, F_WRLCK, 0, kEnd, 0, FUSE_LK_FLOCK).error, 0);
}

// The kernel tells of a close with another owner than that of an open file description's lock.
TEST_F(LockTest, TheLastCloseOfAHandleEndsWhatItLocked) {
  auto other = open(node, O_RDWR);
  EXPECT_EQ(set(1, F_WRLCK, 0, 9).error, 0);
  std::swap(handle, other);
  EXPECT_EQ(set(2, F_WRLCK, 10, 19).error, 0);
  std::swap(handle, other);
  flush(77);
  EXPECT_TRUE(locked_for_others(F_WRLCK, 0, 10));
  EXPECT_EQ(ask(FUSE_RELEASE, node, with(fuse_release_in{.fh = handle})).error, 0);
  EXPECT_FALSE(locked_for_others(F_WRLCK, 0, 10));
  EXPECT_TRUE(locked_for_others(F_WRLCK, 10, 10));
  EXPECT_EQ(server_->stats().locks, 1U);
}

TEST_F(LockTest, ADeadClientLeavesNone) {
  EXPECT_EQ(set(1, F_WRLCK).error, 0);
  EXPECT_EQ(set(1, F_WRLCK, 0, kEnd, 0, FUSE_LK_FLOCK).error, 0);
  EXPECT_TRUE(locked_for_others(F_RDLCK));
  stop();
  EXPECT_FALSE(locked_for_others(F_WRLCK));
}

TEST_F(LockTest, LocksAreLimited) {
  for (std::uint64_t i = 0; i + 2 <= kMaxLocks; ++i) ASSERT_EQ(set(1, F_WRLCK, 2 * i, 2 * i).error, 0) << i;
  EXPECT_EQ(set(1, F_WRLCK, 2 * kMaxLocks, 2 * kMaxLocks).error, ENOLCK);
  EXPECT_EQ(set(1, F_UNLCK).error, 0);
  EXPECT_EQ(server_->stats().locks, 0U);
  stop();
  start({.max_lock_owners = 2});
  node = node_of("f");
  handle = open(node, O_RDWR);
  for (std::uint64_t owner : {1, 2}) EXPECT_EQ(set(owner, F_RDLCK, owner, owner).error, 0);
  EXPECT_EQ(set(3, F_RDLCK, 3, 3).error, ENOLCK);
  EXPECT_EQ(set(1, F_RDLCK, 5, 5).error, 0);
  EXPECT_EQ(set(2, F_UNLCK).error, 0);
  EXPECT_EQ(set(3, F_RDLCK, 3, 3).error, 0);
}

}  // namespace
}  // namespace cloister::share
