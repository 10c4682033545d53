// An enclave that lies about locks, against this machine's kernel with the pump between them.
#include <fcntl.h>
#include <signal.h>

#include <atomic>
#include <set>

#include "fuse/protocol.h"
#include "share/client_locks.h"
#include "share/limits.h"
#include "share/test_enclave.h"

namespace cloister::share {
namespace {

using namespace std::chrono_literals;
using fuse::LockGranted;

constexpr std::size_t kWaiters = 40;

class HostileGrantsTest : public HostileEnclaveTest {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP()
        << "dozens of forks of a process with threads: some never come back under the thread sanitizer";
#endif
    HostileEnclaveTest::SetUp();
  }
  // Honest but for SETLK.
  void start_granting(const std::function<Reply(const fuse_lk_in&)>& grant) {
    start([this, grant](const fuse_in_header& header, ByteView body) {
      if (header.opcode == FUSE_FLUSH) return reply_to(header.unique, {});
      if (header.opcode != FUSE_SETLK) return honestly(header, body);
      ++asked_;
      auto in = fuse::load<fuse_lk_in>(body);
      owners_.insert(in.owner);  // by the thread of the one lane
      owners_seen_ = owners_.size();
      auto reply = grant(in);
      return reply_to(header.unique, reply.body, reply.error);
    });
  }
  // A program of its own that does this with a lock on all of "f"; exits with the errno value, 0 for success,
  // 101 where it is told of a process.
  sys::Child locking(int command = F_SETLKW) const {
    auto path = at / "f";
    return sys::fork_child([path, command] {
             struct sigaction wake{};
             wake.sa_handler = [](int) {};
             ::sigaction(SIGUSR1, &wake, nullptr);  // without SA_RESTART: EINTR is seen
             leave_the_mount_alone();
             int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
             if (fd < 0) return 100;
             return lock_all(fd, command);
           })
        .value();
  }
  // A copy of the device would keep the mount's requests waiting when the pump has closed its own.
  static void leave_the_mount_alone() { static_cast<void>(sys::close_descriptors_except(3, {}).has_value()); }
  static int lock_all(int fd, int command) {
    struct flock all{};
    all.l_type = F_WRLCK;
    if (::fcntl(fd, command, &all) != 0) return errno;
    return command == F_GETLK && all.l_pid != 0 ? 101 : 0;
  }
  static int code_of(sys::Child& child) {
    auto status = child.wait(sys::Deadline::after(sys::seconds(30)));
    return status ? status->shell_code() : -1;
  }
  // Until so many requests for a lock have come.
  void expect_asked(std::size_t count) {
    for (int i = 0; i < 4000 && asked_ < count; ++i) std::this_thread::sleep_for(5ms);
    EXPECT_GE(asked_, count);
  }
  std::atomic<std::size_t> asked_{0};
  std::atomic<std::size_t> owners_seen_{0};

 private:
  std::set<std::uint64_t> owners_;
};

TEST_F(HostileGrantsTest, ALockThatNeverComesCanBeInterrupted) {
  start_granting([](const fuse_lk_in&) { return Reply{{}, EAGAIN}; });
  auto waiting = locking();
  expect_asked(3);
  EXPECT_TRUE(waiting.signal(SIGUSR1).has_value());
  EXPECT_EQ(code_of(waiting), EINTR);
  auto killed = locking();
  expect_asked(asked_ + 3);
  EXPECT_TRUE(killed.signal(SIGKILL).has_value());
  EXPECT_EQ(code_of(killed), 128 + SIGKILL);
  auto impatient = locking(F_SETLK);
  EXPECT_EQ(code_of(impatient), EAGAIN);
  expect_unmounts("no lock");
}

TEST_F(HostileGrantsTest, ManyThatWaitHoldUpNothingAndEndWithTheLane) {
  start_granting([](const fuse_lk_in&) { return Reply{{}, EAGAIN}; });
  std::vector<sys::Child> waiting;
  for (std::size_t i = 0; i < kWaiters; ++i) waiting.push_back(locking());
  for (int i = 0; i < 4000 && owners_seen_ < kWaiters; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(owners_seen_, kWaiters);
  EXPECT_EQ(shell("for i in $(seq 20); do test $(cat f) = hello; done"), 0);
  // Unmounting lets those inside stay; the end of the lane does not.
  EXPECT_TRUE(mount_->unmount().has_value());
  EXPECT_EQ(run_in("/", "timeout 10 ls " + at.path()), 0);
  end();
  for (auto& child : waiting) EXPECT_GT(code_of(child), 0);
}

TEST(ClientLocksTest, OneMoreThanMayWaitIsRefused) {
  ClientLocks locks;
  for (std::uint64_t i = 0; i < kMaxWaitingLocks; ++i) ASSERT_TRUE(locks.begin_wait(2 * i)) << i;
  EXPECT_FALSE(locks.begin_wait(1));
  locks.end_wait(0);
  EXPECT_TRUE(locks.begin_wait(1));
  EXPECT_FALSE(locks.begin_wait(3));
}

TEST_F(HostileGrantsTest, AlwaysSharedIsALockLikeAnyOther) {
  start_granting([](const fuse_lk_in&) { return Reply{with(LockGranted{.shared = 1})}; });
  for (int i = 0; i < 20; ++i) {
    auto one = locking(i % 2 == 0 ? F_SETLK : F_SETLKW);
    EXPECT_EQ(code_of(one), 0);
  }
  // While the file is being read, whose pages each grant drops.
  EXPECT_EQ(shell("for i in $(seq 30); do flock f cat f > /dev/null & done; wait; test $(cat f) = hello"), 0);
  expect_unmounts("always shared");
}

TEST_F(HostileGrantsTest, GrantsOfAnotherShapeEndTheMount) {
  auto word = with(LockGranted{.shared = 1});
  auto longer = word;
  append(longer, word);
  const std::vector<std::pair<const char*, Bytes>> lies = {
      {"no body", {}},
      {"3 bytes", Bytes(3)},
      {"8 bytes", longer},
      {"shared=2", with(LockGranted{.shared = 2})},
      {"shared=-1", with(LockGranted{.shared = ~0U})},
      {"a whole lock", Bytes(sizeof(fuse_lk_out))},
  };
  for (const auto& [what, body] : lies) {
    for (int command : {F_SETLK, F_SETLKW}) {
      start_granting([&](const fuse_lk_in&) { return Reply{body}; });
      auto caller = locking(command);
      EXPECT_EQ(code_of(caller), EIO) << what;
      expect_ended(ErrorKind::invalid, what);
      end();
    }
  }
}

TEST_F(HostileGrantsTest, LiesAboutTheLockInTheWayEndTheMount) {
  auto said = [](std::uint64_t start, std::uint64_t end, std::uint32_t type) {
    return with(fuse_lk_out{.lk = {.start = start, .end = end, .type = type, .pid = 0}});
  };
  const std::vector<std::pair<const char*, Bytes>> lies = {
      {"no body", {}},
      {"no type", said(0, 1, 3)},
      {"a range that ends before it starts", said(2, 1, F_WRLCK)},
      {"a range past every file", said(0, ~0ULL, F_WRLCK)},
  };
  for (const auto& [what, body] : lies) {
    start_lying_at(FUSE_GETLK, body);
    auto caller = locking(F_GETLK);
    EXPECT_EQ(code_of(caller), EIO) << what;
    expect_ended(ErrorKind::invalid, what);
    end();
  }
  // A token that this machine never gave out is nobody's number.
  auto forged = fuse_lk_out{.lk = {.start = 0, .end = 9, .type = F_WRLCK, .pid = 4711}};
  start_lying_at(FUSE_GETLK, with(forged));
  auto caller = locking(F_GETLK);
  EXPECT_EQ(code_of(caller), 0);
  expect_unmounts("a forged token");
}

}  // namespace
}  // namespace cloister::share
