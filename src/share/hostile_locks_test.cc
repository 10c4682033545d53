// Locks as a client asks for them that keeps none of the kernel's manners.
#include <fcntl.h>
#include <sys/socket.h>

#include <limits>

#include "fuse/protocol.h"
#include "share/limits.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using Numbers = std::vector<std::uint64_t>;
constexpr std::uint64_t kEnd = std::numeric_limits<off_t>::max();

class HostileLocksTest : public ShareTest {
 protected:
  void SetUp() override {
    ShareTest::SetUp();
    begin();
  }
  void begin() {
    for (const char* name : {"f", "g"}) write_text(root / name, "content");
    std::filesystem::create_directory(root / "d");
    f = node_of("f");
    g = node_of("g");
    of_f = open(f, O_RDWR);
    of_g = open(g, O_RDWR);
  }
  static Bytes lock(std::uint64_t handle, std::uint64_t owner, std::uint32_t type, std::uint64_t start = 0,
                    std::uint64_t end = kEnd, std::uint32_t flags = 0) {
    return with(fuse_lk_in{.fh = handle,
                           .owner = owner,
                           .lk = {.start = start, .end = end, .type = type, .pid = 0},
                           .lk_flags = flags});
  }
  int set(std::uint64_t node, const Bytes& body) { return ask(FUSE_SETLK, node, body).error; }
  int flush(std::uint64_t node, std::uint64_t handle, std::uint64_t owner) {
    return ask(FUSE_FLUSH, node, with(fuse_flush_in{.fh = handle, .lock_owner = owner})).error;
  }
  // As a job meets it.
  bool is_locked(const std::string& name) const {
    sys::Fd fd(::open((root / name).c_str(), O_RDWR | O_CLOEXEC));
    struct flock all{};
    all.l_type = F_WRLCK;
    return ::fcntl(fd.get(), F_OFD_SETLK, &all) != 0;
  }
  std::uint64_t f = 0, g = 0, of_f = 0, of_g = 0;
};

TEST_F(HostileLocksTest, ByAHandleNeverGotOrOfAnotherNodeOrOfADirectoryIsRefused) {
  auto d = node_of("d");
  auto of_d = ask(FUSE_OPENDIR, d, with(fuse_open_in{})).as<fuse_open_out>().fh;
  auto released = open(f, O_RDWR);
  EXPECT_EQ(ask(FUSE_RELEASE, f, with(fuse_release_in{.fh = released})).error, 0);
  struct Pair {
    std::uint64_t node, handle;
  };
  for (auto [node, handle] : {Pair{f, 0},
                              {f, of_g},
                              {f, of_d},
                              {f, released},
                              {f, released + 1},
                              {f, ~0ULL},
                              {d, of_d},
                              {d, of_f},
                              {0, of_f},
                              {~0ULL, of_f},
                              {FUSE_ROOT_ID, of_f}}) {
    for (auto flags : {0, FUSE_LK_FLOCK})
      EXPECT_EQ(set(node, lock(handle, 1, F_WRLCK, 0, kEnd, static_cast<std::uint32_t>(flags))), EBADF)
          << node << ", " << handle;
    EXPECT_EQ(ask(FUSE_GETLK, node, lock(handle, 1, F_WRLCK)).error, EBADF) << node << ", " << handle;
    EXPECT_EQ(flush(node, handle, 1), EBADF) << node << ", " << handle;
  }
  EXPECT_EQ(server_->stats().locks, 0U);
  EXPECT_FALSE(is_locked("f"));
  EXPECT_FALSE(is_locked("g"));
}

TEST_F(HostileLocksTest, OnlyRangesOfAFileAreRanges) {
  for (auto [start, end] : std::initializer_list<std::pair<std::uint64_t, std::uint64_t>>{
           {1, 0}, {kEnd, 0}, {0, kEnd + 1}, {kEnd + 1, kEnd + 1}, {~0ULL, ~0ULL}, {0, ~0ULL}}) {
    for (std::uint32_t type : {F_RDLCK, F_WRLCK, F_UNLCK})
      EXPECT_EQ(set(f, lock(of_f, 1, type, start, end)), EINVAL) << start << " to " << end;
    EXPECT_EQ(ask(FUSE_GETLK, f, lock(of_f, 1, F_WRLCK, start, end)).error, EINVAL);
  }
  for (std::uint32_t type : {3U, 4U, 8U, 0x10000U, ~0U})
    EXPECT_EQ(set(f, lock(of_f, 1, type)), EINVAL) << type;
  EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK, 0, kEnd, 2)), EINVAL);
  EXPECT_EQ(server_->stats().locks, 0U);
  // The first and the last byte are like any other.
  for (std::uint64_t byte : Numbers{0, kEnd - 2, kEnd}) {
    EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK, byte, byte)), 0) << byte;
    EXPECT_EQ(set(f, lock(of_f, 2, F_RDLCK, byte, byte)), EAGAIN) << byte;
    auto met = ask(FUSE_GETLK, f, lock(of_f, 2, F_RDLCK, byte, byte)).as<fuse_lk_out>().lk;
    EXPECT_EQ(met.start, byte);
    EXPECT_EQ(met.end, byte);
  }
  EXPECT_EQ(set(f, lock(of_f, 2, F_WRLCK, kEnd - 1, kEnd - 1)), 0);
  EXPECT_EQ(server_->stats().locks, 4U);
}

TEST_F(HostileLocksTest, MoreOwnersThanTheLimitInManyFilesGetNone) {
  constexpr std::size_t kOwners = 6;
  stop();
  ServerOptions options;
  options.max_lock_owners = kOwners;
  start(std::move(options));
  begin();
  std::size_t granted = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    auto name = "many" + std::to_string(i % 20);
    write_text(root / name, "");
    auto node = node_of(name);
    auto error = set(node, lock(open(node, O_RDWR), i, F_RDLCK, i, i));
    EXPECT_EQ(error, i < kOwners ? 0 : ENOLCK) << i;
    granted += error == 0 ? 1 : 0;
  }
  EXPECT_EQ(granted, kOwners);
  // Those who have one go on, BSD locks need none of them, and one that ends makes room.
  EXPECT_EQ(set(node_of("many0"), lock(open(node_of("many0"), O_RDWR), 0, F_WRLCK, 0, 0)), 0);
  EXPECT_EQ(set(f, lock(of_f, 99, F_WRLCK, 0, kEnd, FUSE_LK_FLOCK)), 0);
  EXPECT_EQ(set(f, lock(of_f, 99, F_WRLCK)), ENOLCK);
  EXPECT_EQ(flush(node_of("many1"), open(node_of("many1"), O_RDWR), 1), 0);
  EXPECT_EQ(set(f, lock(of_f, 99, F_WRLCK)), 0);
}

// An unlock in the midst of a range makes two of it.
TEST_F(HostileLocksTest, UnlockingByteByByteMakesNoMoreRangesThanTheLimit) {
  EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK)), 0);
  std::uint64_t made = 1;
  for (; made <= kMaxLocks && set(f, lock(of_f, 1, F_UNLCK, 2 * made, 2 * made)) == 0; ++made) {
  }
  EXPECT_EQ(made, kMaxLocks);
  EXPECT_EQ(server_->stats().locks, kMaxLocks);
  // What makes no more of them is still done: at an end, across several, of all.
  EXPECT_EQ(set(f, lock(of_f, 1, F_UNLCK, 0, 0)), 0);
  EXPECT_EQ(set(f, lock(of_f, 1, F_UNLCK, 3, 5)), 0);
  EXPECT_EQ(server_->stats().locks, kMaxLocks - 2);
  EXPECT_EQ(set(f, lock(of_f, 1, F_UNLCK)), 0);
  EXPECT_EQ(server_->stats().locks, 0U);
  EXPECT_FALSE(is_locked("f"));
}

TEST_F(HostileLocksTest, UnlockingWhatWasNeverLockedIsNothing) {
  EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK, 10, 19)), 0);
  EXPECT_EQ(set(f, lock(of_f, 2, F_UNLCK)), 0);
  EXPECT_EQ(set(f, lock(of_f, 1, F_UNLCK, 20, kEnd)), 0);
  EXPECT_EQ(set(g, lock(of_g, 1, F_UNLCK)), 0);
  EXPECT_EQ(set(f, lock(of_f, 1, F_UNLCK, 0, kEnd, FUSE_LK_FLOCK)), 0);
  EXPECT_EQ(server_->stats().locks, 1U);
  EXPECT_TRUE(is_locked("f"));
}

TEST_F(HostileLocksTest, AForgedFlushEndsNobodyElsesLocks) {
  EXPECT_EQ(set(f, lock(of_f, 7, F_WRLCK)), 0);
  for (std::uint64_t owner : Numbers{0, 6, 8, ~0ULL, 7ULL << 32}) EXPECT_EQ(flush(f, of_f, owner), 0);
  // The right owner in another file, and through handles that are none of it.
  EXPECT_EQ(flush(g, of_g, 7), 0);
  EXPECT_EQ(flush(f, of_g, 7), EBADF);
  EXPECT_EQ(flush(g, of_f, 7), EBADF);
  EXPECT_EQ(server_->stats().locks, 1U);
  EXPECT_TRUE(is_locked("f"));
  EXPECT_EQ(flush(f, of_f, 7), 0);
  EXPECT_FALSE(is_locked("f"));
}

TEST_F(HostileLocksTest, ARequestToWaitIsUnknown) {
  EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK)), 0);
  EXPECT_EQ(ask(FUSE_SETLKW, f, lock(of_f, 2, F_WRLCK)).error, ENOSYS);
  EXPECT_EQ(ask(FUSE_SETLKW, g, lock(of_g, 2, F_WRLCK)).error, ENOSYS);
  EXPECT_EQ(ask(FUSE_SETLKW, g, lock(of_g, 2, F_WRLCK, 0, kEnd, FUSE_LK_FLOCK)).error, ENOSYS);
  EXPECT_EQ(server_->stats().locks, 1U);
  EXPECT_FALSE(is_locked("g"));
}

TEST_F(HostileLocksTest, ALaneThatDiesLeavesTheMountsLocksUntilTheMountEnds) {
  auto pair = sys::make_socket_pair(SOCK_STREAM).value();
  std::thread serving([this, fd = pair.second.release()] { server_->serve_lane(sys::Fd(fd)); });
  {
    sys::FdStream lane(std::move(pair.first));
    fuse::MessageReader reader(lane, sizeof(fuse_out_header), fuse::kMaxMessage);
    ASSERT_TRUE(lane.write_all(make_request(FUSE_SETLK, f, lock(of_f, 1, F_WRLCK))).has_value());
    auto reply = reader.next();
    ASSERT_TRUE(reply.has_value() && reply->has_value());
    EXPECT_EQ(fuse::load<fuse_out_header>(**reply).error, 0);
  }
  serving.join();
  EXPECT_TRUE(is_locked("f"));
  EXPECT_EQ(set(f, lock(of_f, 2, F_WRLCK)), EAGAIN);
  EXPECT_EQ(set(f, lock(of_f, 1, F_RDLCK)), 0);
  server_->forget_all();
  EXPECT_FALSE(is_locked("f"));
}

// A file that is forgotten while it is locked stays locked until its handle is closed, and nobody takes its
// number for another.
TEST_F(HostileLocksTest, ForgettingALockedFileKeepsItsLockAndReleasingItDoesNot) {
  EXPECT_EQ(set(f, lock(of_f, 1, F_WRLCK)), 0);
  send(make_request(FUSE_FORGET, f, with(fuse_forget_in{.nlookup = 1})));
  EXPECT_EQ(ask(FUSE_GETATTR, f, with(fuse_getattr_in{})).error, ESTALE);
  EXPECT_TRUE(is_locked("f"));
  EXPECT_NE(node_of("f"), f);
  EXPECT_EQ(ask(FUSE_RELEASE, f, with(fuse_release_in{.fh = of_f})).error, 0);
  EXPECT_FALSE(is_locked("f"));
  EXPECT_EQ(server_->stats().locks, 0U);
}

}  // namespace
}  // namespace cloister::share
