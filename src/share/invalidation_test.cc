// What a client is told of changes behind its back, and what it may still believe beside jobs and other
// mounts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>

#include "fuse/notification.h"
#include "fuse/protocol.h"
#include "share/notify.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using testing::Contains;
using testing::UnorderedElementsAre;

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// The client's end of a notification lane.
class InvalidationTest : public ShareTest {
 protected:
  void SetUp() override {
    ShareTest::SetUp();
    connect();
  }
  void connect() {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    server_->set_notifier(std::move(pair.first));
    client_ = std::make_unique<sys::FdStream>(std::move(pair.second));
    client_->set_deadline(sys::Deadline::after(sys::seconds(10)));
  }
  // What the server sends for one invalidation: "inode N" and "entry N name".
  std::vector<std::string> changes() {
    std::vector<std::string> out;
    std::thread confirming([&] { out = confirm(); });
    EXPECT_TRUE(server_->invalidate_changed().has_value());
    confirming.join();
    return out;
  }
  std::vector<std::string> confirm() {
    fuse::MessageReader reader(*client_, sizeof(fuse_out_header), fuse::kMaxNotification);
    return confirm(reader);
  }
  std::vector<std::string> confirm(fuse::MessageReader& reader) {
    std::vector<std::string> out;
    for (;;) {
      auto message = reader.next();
      if (!message || !message->has_value()) return {"nothing"};
      auto body = (*message)->subspan(sizeof(fuse_out_header));
      auto kind = fuse::check_notification(**message).value();
      if (kind == fuse::NotificationKind::fence) {
        EXPECT_TRUE(client_->write_all(**message).has_value());
        return out;
      }
      if (kind == fuse::NotificationKind::inval_inode) {
        out.push_back("inode " + std::to_string(fuse::load<fuse_notify_inval_inode_out>(body).ino));
      } else {
        auto head = fuse::load<fuse_notify_inval_entry_out>(body);
        out.push_back("entry " + std::to_string(head.parent) + " " +
                      std::string(as_text(body.subspan(sizeof head, head.namelen))));
      }
    }
  }
  // Times move in ticks: only what is told after one is trusted to be unchanged.
  void settle() {
    wait_for_tick();
    changes();
    ASSERT_TRUE(changes().empty());
  }
  static void wait_for_tick() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }
  static auto inodes_of(const std::vector<std::string>& told) {
    return std::count_if(told.begin(), told.end(), [](const auto& one) { return one.starts_with("inode"); });
  }
  bool keeps_cache(std::uint64_t node) {
    auto opened = ask(FUSE_OPEN, node, with(fuse_open_in{.flags = O_RDONLY})).as<fuse_open_out>();
    return (opened.open_flags & FOPEN_KEEP_CACHE) != 0;
  }
  std::unique_ptr<sys::FdStream> client_;
};

TEST_F(InvalidationTest, TellsWhatChangedAndNothingElse) {
  for (auto name : {"same", "grown", "gone", "replaced"}) write_text(root / name, "x");
  node_of("same");
  auto grown = node_of("grown");
  auto gone = node_of("gone");
  auto replaced = node_of("replaced");
  settle();
  write_text(root / "grown", "longer");
  ::unlink((root / "gone").c_str());
  write_text(root / "new", "y");
  ::rename((root / "new").c_str(), (root / "replaced").c_str());
  auto inode = [](std::uint64_t node) { return "inode " + std::to_string(node); };
  EXPECT_THAT(changes(), UnorderedElementsAre(inode(1), inode(grown), inode(gone), "entry 1 gone",
                                              inode(replaced), "entry 1 replaced"));
}

TEST_F(InvalidationTest, KnowsTheNamesThatTheClientGave) {
  write_text(root / "a", "x");
  node_of("a");
  EXPECT_EQ(rename(FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b").error, 0);
  settle();
  ::unlink((root / "b").c_str());
  EXPECT_THAT(changes(), Contains("entry 1 b"));
}

TEST_F(InvalidationTest, DoesNotTrustTimesThatMayStillBeTheSame) {
  write_text(root / "a", "x");
  auto node = node_of("a");
  // Told within the tick of the change: a second change could hide in it.
  EXPECT_THAT(changes(), Contains("inode " + std::to_string(node)));
}

TEST_F(InvalidationTest, GivesUpOnASilentClientAndGoesOnWithALateOne) {
  write_text(root / "a", "x");
  node_of("a");
  auto refused = server_->invalidate_changed(sys::Deadline::after(sys::milliseconds(50)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unavailable);
  confirm();  // the fence of the first, late
  changes();
}

TEST_F(InvalidationTest, TellsAClientThatStoodStillTheRestLater) {
  constexpr int kFiles = 400;
  for (int i = 0; i < kFiles; ++i) {
    write_text(root / std::to_string(i), "x");
    node_of(std::to_string(i));
  }
  auto pair = sys::make_socket_pair(SOCK_STREAM).value();
  int little = 1;  // the least there is: less than what is to be told
  ASSERT_EQ(::setsockopt(pair.first.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
  server_->set_notifier(std::move(pair.first));
  client_ = std::make_unique<sys::FdStream>(std::move(pair.second));
  client_->set_deadline(sys::Deadline::after(sys::seconds(10)));
  for (int i = 0; i < kFiles; ++i) ::unlink((root / std::to_string(i)).c_str());
  for (int i = 0; i < 3; ++i)
    EXPECT_FALSE(server_->invalidate_changed(sys::Deadline::after(sys::milliseconds(20))).has_value());
  std::vector<std::string> late;
  std::thread confirming([&] {
    fuse::MessageReader reader(*client_, sizeof(fuse_out_header), fuse::kMaxNotification);
    late = confirm(reader);
    confirm(reader);
  });
  EXPECT_TRUE(server_->invalidate_changed().has_value());
  confirming.join();
  EXPECT_EQ(std::count_if(late.begin(), late.end(), [](const auto& one) { return one.starts_with("entry"); }),
            kFiles);
}

TEST(NotifierTest, KeepsOnlySoMuchForAClientThatStandsStill) {
  auto pair = sys::make_socket_pair(SOCK_STREAM).value();
  Notifier notifier;
  notifier.set(std::move(pair.first));
  auto deliver = [&](std::size_t bytes) {
    return notifier.deliver({Bytes(bytes)}, sys::Deadline::after(sys::milliseconds(20)));
  };
  EXPECT_FALSE(deliver(kMaxUnsentBytes / 2).has_value());
  EXPECT_EQ(deliver(1).error().message(), "send invalidations: timed out");
  EXPECT_EQ(deliver(kMaxUnsentBytes).error().message(), "send invalidations: timed out");
  EXPECT_EQ(deliver(1).error().message(), "the client stopped reading its invalidations");
}

TEST_F(InvalidationTest, ANewLaneDoesNotWaitForTheOld) {
  std::string why;
  std::thread telling([&] { why = server_->invalidate_changed().error().message(); });
  fuse::MessageReader reader(*client_, sizeof(fuse_out_header), fuse::kMaxNotification);
  while (fuse::check_notification(*reader.next().value()).value() != fuse::NotificationKind::fence) {
  }
  auto old = std::move(client_);
  connect();
  telling.join();
  EXPECT_FALSE(why.contains("timed out")) << why;
  changes();
}

TEST_F(InvalidationTest, RefusesAForgedConfirmation) {
  EXPECT_TRUE(client_->write_all(fuse::encode_fence(77)).has_value());
  EXPECT_FALSE(server_->invalidate_changed().has_value());
  EXPECT_FALSE(server_->invalidate_changed().has_value());
}

TEST_F(InvalidationTest, NothingIsBelievedForLongerThanOneUseBesideAnotherMount) {
  write_text(root / "f", "content");
  auto alone = lookup("f").as<fuse_entry_out>();
  EXPECT_EQ(alone.entry_valid, 1U);
  EXPECT_EQ(alone.attr_valid, 1U);
  server_->know({.mounts = 2});
  auto beside = lookup("f").as<fuse_entry_out>();
  EXPECT_EQ(beside.entry_valid, 0U);
  EXPECT_EQ(beside.attr_valid, 0U);
  EXPECT_EQ(ask(FUSE_GETATTR, beside.nodeid, with(fuse_getattr_in{})).as<fuse_attr_out>().attr_valid, 0U);
  EXPECT_EQ(ask(fuse::kOpStatx, beside.nodeid, with(fuse::StatxIn{})).as<fuse::StatxOut>().attr_valid, 0U);
}

TEST_F(InvalidationTest, ALockSaysWhetherOthersUseTheShare) {
  write_text(root / "f", "content");
  auto node = node_of("f");
  auto handle = open(node, O_RDWR);
  auto shared = [&](std::uint32_t type) {
    fuse_lk_in lock{.fh = handle, .owner = 1, .lk = {.start = 0, .end = 9, .type = type, .pid = 0}};
    return ask(FUSE_SETLK, node, with(lock)).as<fuse::LockGranted>().shared;
  };
  EXPECT_EQ(shared(F_WRLCK), 0U);
  server_->know({.mounts = 2});
  EXPECT_EQ(shared(F_RDLCK), 1U);
  EXPECT_EQ(shared(F_UNLCK), 0U);
  server_->know({.jobs_since = 1});
  EXPECT_EQ(shared(F_WRLCK), 1U);
}

// A store into a page that is mapped already leaves no trace in a file's times.
TEST_F(InvalidationTest, AFileThatChangedDuringAJobIsNeverBelieved) {
  write_text(root / "before", "content");
  wait_for_tick();
  auto before = node_of("before");
  auto started = now();
  server_->know({.jobs_since = started});
  wait_for_tick();
  write_text(root / "during", "content");
  wait_for_tick();
  auto during = node_of("during");
  for (int again = 0; again < 2; ++again) {
    EXPECT_EQ(inodes_of(changes()), again == 0 ? 2 : 1);  // first the root as well
    EXPECT_TRUE(keeps_cache(before));
    EXPECT_FALSE(keeps_cache(during));
  }
  server_->know({});
  EXPECT_EQ(inodes_of(changes()), 0);
  EXPECT_TRUE(keeps_cache(during));
}

// One that reads a mapped page first leaves no trace even of its first store.
TEST_F(InvalidationTest, WhatAJobMayWriteIsNeverBelievedWhileItRuns) {
  std::filesystem::create_directories(root / "output/deep");
  std::filesystem::create_directory(root / "dataset");
  write_text(root / "output/deep/f", "content");
  write_text(root / "dataset/f", "content");
  wait_for_tick();
  auto output = node_of("f", node_of("deep", node_of("output")));
  auto dataset = node_of("f", node_of("dataset"));
  changes();
  server_->know({.jobs_since = now() + 1'000'000'000});
  EXPECT_EQ(inodes_of(changes()), 1);
  EXPECT_FALSE(keeps_cache(output));
  EXPECT_TRUE(keeps_cache(dataset));
  server_->know({.jobs_since = now() + 1'000'000'000, .jobs_write_all = true});
  EXPECT_EQ(inodes_of(changes()), 2);
  server_->know({});
  EXPECT_EQ(inodes_of(changes()), 0);
}

// The client's kernel sees no difference, and keeps pages that are older.
TEST_F(InvalidationTest, ATimePutBackHidesNothing) {
  write_text(root / "f", "older content");
  struct stat before{};
  ASSERT_EQ(::stat((root / "f").c_str(), &before), 0);
  wait_for_tick();
  auto node = node_of("f");
  changes();
  EXPECT_TRUE(keeps_cache(node));
  write_text(root / "f", "other content");
  timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root / "f").c_str(), times, 0), 0);
  wait_for_tick();
  EXPECT_EQ(ask(FUSE_GETATTR, node, with(fuse_getattr_in{})).error,
            0);  // the client looks, and sees nothing new
  EXPECT_FALSE(keeps_cache(node));
  EXPECT_EQ(inodes_of(changes()), 1);
  EXPECT_TRUE(keeps_cache(node));
}

TEST_F(InvalidationTest, MountsShareTheInodesThatCanBeKnown) {
  stop();
  start({.max_inodes = 8});
  for (int i = 0; i < 8; ++i) write_text(root / std::to_string(i), "");
  server_->know({.mounts = 2});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(lookup(std::to_string(i)).error, 0);  // the root is one
  EXPECT_EQ(lookup("3").error, ENFILE);
  server_->know({});
  EXPECT_EQ(lookup("3").error, 0);
}

// Handles are descriptors of one process, whichever mount they are of.
TEST_F(InvalidationTest, MountsDivideTheHandlesThatThereCanBe) {
  constexpr std::size_t kDescriptors = 1024;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low{.rlim_cur = kDescriptors, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  write_text(root / "f", "");
  std::size_t handles = 0;
  std::size_t nodes = 1;
  stop();
  start({.mounts = 4});
  auto node = node_of("f");
  while (handles < kDescriptors && ask(FUSE_OPEN, node, with(fuse_open_in{.flags = O_RDONLY})).error == 0)
    ++handles;
  server_->know({.mounts = 4});
  for (; nodes < kDescriptors; ++nodes) {
    write_text(root / std::to_string(nodes), "");
    if (lookup(std::to_string(nodes)).error != 0) break;
  }
  stop();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GT(handles, 0U);
  EXPECT_GT(nodes, handles);
  EXPECT_LT(4 * (handles + nodes), kDescriptors);
}

TEST_F(InvalidationTest, OnlyAnExclusiveMountLosesTheNamesOfChangedFiles) {
  for (bool exclusive : {false, true}) {
    stop();
    start({.exclusive = exclusive});
    connect();
    write_text(root / "f", "content");
    wait_for_tick();
    EXPECT_NE(node_of("f"), 0U);
    write_text(root / "f", "another");
    auto told = changes();
    EXPECT_EQ(std::count(told.begin(), told.end(), "entry 1 f"), exclusive ? 1 : 0);
  }
}

}  // namespace
}  // namespace cloister::share
