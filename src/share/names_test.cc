// What is known of names that come and go, and of the space that they held.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "share/inode_table.h"
#include "share/limits.h"
#include "share/links.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

class NamesTest : public ShareTest {
 protected:
  void SetUp() override { start({.host_made = made_}); }
  void forget(std::uint64_t node, std::uint64_t count) {
    send(make_request(FUSE_FORGET, node, with(fuse_forget_in{.nlookup = count})));
  }
  int unlink(std::string_view name) { return ask(FUSE_UNLINK, FUSE_ROOT_ID, name_bytes(name)).error; }
  Answer link(std::uint64_t node, std::string_view name) {
    return ask(FUSE_LINK, FUSE_ROOT_ID, with(fuse_link_in{.oldnodeid = node}, {name}));
  }
  std::string target_of(std::uint64_t node) { return std::string(as_text(ask(FUSE_READLINK, node).body)); }
  std::shared_ptr<HostMade> made_ = std::make_shared<HostMade>();
};

TEST_F(NamesTest, LinksFifosAndSocketsThatAreGoneAreNotRemembered) {
  auto make = [&](std::uint32_t mode) {
    return ask(FUSE_MKNOD, FUSE_ROOT_ID, with(fuse_mknod_in{.mode = mode}, {"x"})).as<fuse_entry_out>();
  };
  for (std::uint32_t type : {S_IFLNK, S_IFIFO, S_IFSOCK}) {
    auto node = type == S_IFLNK ? make_link("x", "/etc").as<fuse_entry_out>() : make(type | 0600);
    EXPECT_EQ(made_->size(), 1U);
    EXPECT_EQ(unlink("x"), 0);
    forget(node.nodeid, 1);
    EXPECT_EQ(lookup("x").error, ENOENT);  // behind the FORGET, which has no reply
    EXPECT_EQ(made_->size(), 0U) << type;
  }
  // Renamed over, as `ln -sf` does; whoever has just found the old link may still read it.
  auto old = make_link("x", "/old").as<fuse_entry_out>().nodeid;
  make_link("y", "/new");
  EXPECT_EQ(rename(FUSE_ROOT_ID, "y", FUSE_ROOT_ID, "x").error, 0);
  EXPECT_EQ(target_of(old), "/old");
  forget(old, 1);
  EXPECT_EQ(target_of(node_of("x")), "/new");
  EXPECT_EQ(made_->size(), 1U);
  // By a job.
  auto node = node_of("x");
  ASSERT_EQ(::unlink((root / "x").c_str()), 0);
  forget(node, 3);
  EXPECT_EQ(lookup("x").error, ENOENT);
  EXPECT_EQ(made_->size(), 0U);
}

TEST_F(NamesTest, ALinkMayHaveManyNamesOneAfterTheOther) {
  auto node = make_link("0", "/etc").as<fuse_entry_out>().nodeid;
  for (std::size_t i = 1; i < 3 * kMaxNamesPerInode; ++i) {
    ASSERT_EQ(link(node, std::to_string(i)).error, 0) << i;
    ASSERT_EQ(unlink(std::to_string(i - 1)), 0) << i;
    ASSERT_EQ(target_of(node), "/etc") << i;
  }
  auto name = std::to_string(3 * kMaxNamesPerInode - 1);
  for (std::size_t i = 0; i < 2 * kMaxNamesPerInode; ++i) {  // and renamed over
    ASSERT_EQ(link(node, "more").error, 0) << i;
    write_text(root / "file", "");
    ASSERT_EQ(rename(FUSE_ROOT_ID, "file", FUSE_ROOT_ID, "more").error, 0);
    ASSERT_EQ(unlink("more"), 0);
  }
  EXPECT_EQ(target_of(node), "/etc");
}

TEST_F(NamesTest, ALinkThatIsRefusedLeavesNoName) {
  auto node = make_link("0", "/etc").as<fuse_entry_out>().nodeid;
  for (std::size_t i = 1; i < kMaxNamesPerInode; ++i) ASSERT_EQ(link(node, std::to_string(i)).error, 0);
  EXPECT_EQ(link(node, "more").error, ENOENT);
  struct stat info{};
  EXPECT_NE(::lstat((root / "more").c_str(), &info), 0);
}

// The names that the client would be asked to drop when more is known than may be.
TEST(IdleInodes, AreAskedForInTurn) {
  TemporaryDirectory root;
  auto open_path = [&](const std::string& path) { return sys::Fd(::open(path.c_str(), O_PATH | O_CLOEXEC)); };
  struct stat info{};
  ASSERT_EQ(::stat(root.path().c_str(), &info), 0);
  InodeTable table(open_path(root.path()), info, 100);
  for (int i = 0; i < 7; ++i) {
    auto path = root / std::to_string(i);
    write_text(path, "");
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    ASSERT_TRUE(table.reference(open_path(path), info).has_value());
  }
  std::vector<NodeId> seen;
  for (int turn = 0; turn < 3; ++turn) {
    std::vector<NodeId> some;
    for (const auto& inode : table.idle(3)) some.push_back(inode->id);
    std::sort(some.begin(), some.end());
    seen.insert(seen.end(), some.begin(), some.end());
  }
  EXPECT_EQ(seen, (std::vector<NodeId>{2, 3, 4, 5, 6, 7, 2, 3, 8}));
  EXPECT_EQ(table.idle(100).size(), 7U);
  EXPECT_EQ(table.idle(0).size(), 0U);
}

// A share of 1 MiB that is full, and two lanes of its mount.
class FullShareTest : public NamesTest {
 protected:
  static constexpr std::size_t kMiB = 1U << 20;
  void SetUp() override {
    if (::mount("share", root.path().c_str(), "tmpfs", 0, "size=1m") != 0)
      GTEST_SKIP() << "mounting needs root";
    NamesTest::SetUp();
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    other_ = std::make_unique<sys::FdStream>(std::move(pair.first));
    other_->set_deadline(sys::Deadline::after(sys::seconds(10)));
    other_thread_ = std::thread([this, fd = pair.second.release()] { server_->serve_lane(sys::Fd(fd)); });
    write_text(root / "big", std::string(kMiB, 'x'));
    write_text(root / "small", "");
  }
  void TearDown() override {
    other_.reset();
    if (other_thread_.joinable()) other_thread_.join();
    NamesTest::TearDown();
    ::umount2(root.path().c_str(), MNT_DETACH);
  }
  Bytes writing(std::uint64_t node, std::uint64_t handle, std::uint64_t unique) {
    auto body = with(fuse_write_in{.fh = handle, .size = 5});
    append(body, as_bytes("hello"));
    return make_request(FUSE_WRITE, node, body, unique);
  }
  static int error_on(sys::FdStream& lane) {
    fuse::MessageReader reader(lane, sizeof(fuse_out_header), fuse::kMaxMessage);
    auto reply = reader.next();
    return reply && reply->has_value() ? -fuse::load<fuse_out_header>(**reply).error : -1;
  }
  std::unique_ptr<sys::FdStream> other_;
  std::thread other_thread_;
};

TEST_F(FullShareTest, OneLaneIsLeftForWhatTheOthersWaitFor) {
  auto big = node_of("big");
  auto small = node_of("small");
  auto handle = open(small, O_WRONLY);
  EXPECT_EQ(unlink("big"), 0);
  ASSERT_TRUE(lane_->write_all(writing(small, handle, 1000)).has_value());
  ASSERT_TRUE(other_->write_all(writing(small, handle, 1002)).has_value());
  // One of them waits for FORGET. The other, which alone could carry it, is answered.
  pollfd lanes[2] = {{lane_->descriptor(), POLLIN, 0}, {other_->descriptor(), POLLIN, 0}};
  ASSERT_GE(::poll(lanes, 2, 10'000), 1);
  auto& answered = lanes[0].revents != 0 ? *lane_ : *other_;
  auto& waiting = lanes[0].revents != 0 ? *other_ : *lane_;
  EXPECT_EQ(error_on(answered), ENOSPC);
  auto request = make_request(FUSE_FORGET, big, with(fuse_forget_in{.nlookup = 1}));
  ASSERT_TRUE(answered.write_all(request).has_value());
  EXPECT_EQ(error_on(waiting), 0);
  EXPECT_EQ(read_text(root / "small"), "hello");
}

TEST_F(FullShareTest, ZeroingWithoutRoomLosesNothing) {
  std::filesystem::resize_file(root / "big", kMiB - 16384);
  auto big = node_of("big");
  auto handle = open(big, O_RDWR);
  fuse_fallocate_in zero{.fh = handle, .offset = 0, .length = 2 * kMiB, .mode = FALLOC_FL_ZERO_RANGE};
  EXPECT_EQ(ask(FUSE_FALLOCATE, big, with(zero)).error, ENOSPC);
  EXPECT_EQ(read_text(root / "big"), std::string(kMiB - 16384, 'x'));
  zero.length = 4096;
  EXPECT_EQ(ask(FUSE_FALLOCATE, big, with(zero)).error, 0);
  EXPECT_EQ(read_text(root / "big"), std::string(4096, '\0') + std::string(kMiB - 16384 - 4096, 'x'));
}

}  // namespace
}  // namespace cloister::share
