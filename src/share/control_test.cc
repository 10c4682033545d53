// The share server's process, as a thread.
#include "share/control.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/limits.h"
#include "fuse/notification.h"
#include "fuse/wire.h"
#include "share/limits.h"
#include "share/notify.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = sys::make_socket_pair(SOCK_SEQPACKET).value();
    control = sys::MessageSocket(std::move(pair.first));
    server_ = std::thread([this, fd = pair.second.release()] {
      code_ = run_server(sys::MessageSocket(sys::Fd(fd)), sys::Dir::open(root.path()).value(), {});
    });
  }
  void TearDown() override { end(); }
  void end() {
    control = {};
    if (server_.joinable()) server_.join();
  }
  ControlReply receive() {
    ControlReply reply;
    EXPECT_TRUE(control.receive(reply, 0, sys::Deadline::after(sys::seconds(10))).has_value());
    return reply;
  }
  ControlReply tell(ControlMessage message, std::vector<int> fds = {}) {
    EXPECT_TRUE(control.send(message, fds).has_value());
    auto reply = receive();
    EXPECT_EQ(reply.id, message.id);
    return reply;
  }
  // The client's end of a lane of that mount.
  std::unique_ptr<sys::FdStream> add(ControlKind kind, std::uint64_t session,
                                     ControlStatus expected = ControlStatus::ok) {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    EXPECT_EQ(tell({.kind = kind, .id = 5, .session = session}, {pair.second.get()}).status, expected);
    auto stream = std::make_unique<sys::FdStream>(std::move(pair.first));
    stream->set_deadline(sys::Deadline::after(sys::seconds(10)));
    return stream;
  }
  static Answer ask(sys::Stream& lane, std::uint32_t opcode, std::uint64_t node, const Bytes& body) {
    EXPECT_TRUE(lane.write_all(make_request(opcode, node, body)).has_value());
    fuse::MessageReader reader(lane, sizeof(fuse_out_header), fuse::kMaxMessage);
    auto reply = reader.next();
    if (!reply || !reply->has_value()) return {.error = -1, .body = {}};
    return {.error = -fuse::load<fuse_out_header>(**reply).error,
            .body = to_bytes((*reply)->subspan(sizeof(fuse_out_header)))};
  }

  // Everything up to the next fence; false when the lane has ended.
  static bool confirm(fuse::MessageReader& reader, sys::Stream& notifications) {
    for (;;) {
      auto message = reader.next();
      if (!message || !message->has_value()) return false;
      if (fuse::check_notification(**message).value() == fuse::NotificationKind::fence)
        return notifications.write_all(**message).has_value();
    }
  }

  TemporaryDirectory root;
  sys::MessageSocket control;
  std::thread server_;
  int code_ = -1;
};

TEST_F(ControlTest, ServesLanesOfOneMountTogetherAndOfTwoApart) {
  write_text(root / "f", "x");
  auto one = add(ControlKind::add_lane, 1);
  auto two = add(ControlKind::add_lane, 1);
  auto other = add(ControlKind::add_lane, 2);
  auto node = ask(*one, FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("f")).as<fuse_entry_out>().nodeid;
  EXPECT_EQ(ask(*two, FUSE_GETATTR, node, with(fuse_getattr_in{})).error, 0);
  EXPECT_EQ(ask(*other, FUSE_GETATTR, node, with(fuse_getattr_in{})).error, ESTALE);
  auto counted = tell({.kind = ControlKind::stats});
  EXPECT_EQ(counted.sessions, 2U);
  EXPECT_EQ(counted.lanes, 3U);
  EXPECT_EQ(counted.stats.requests, 3U);
  // A mount ends with its last lane; the next of that number knows nothing of it.
  one.reset();
  two.reset();
  for (int i = 0; i < 500 && tell({.kind = ControlKind::stats}).sessions != 1; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  auto after = tell({.kind = ControlKind::stats});
  EXPECT_EQ(after.sessions, 1U);
  EXPECT_EQ(after.stats.requests, 3U);  // counters never go back
  auto again = add(ControlKind::add_lane, 1);
  EXPECT_EQ(ask(*again, FUSE_GETATTR, node, with(fuse_getattr_in{})).error, ESTALE);
}

TEST_F(ControlTest, AnswersAnInvalidationWhenItIsDone) {
  write_text(root / "f", "x");
  auto lane = add(ControlKind::add_lane, 1);
  auto notifications = add(ControlKind::add_notifier, 1);
  EXPECT_EQ(ask(*lane, FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("f")).error, 0);
  ASSERT_TRUE(control.send(ControlMessage{.kind = ControlKind::invalidate, .id = 77}).has_value());
  EXPECT_EQ(tell({.kind = ControlKind::stats, .id = 78}).sessions, 1U);  // overtakes
  fuse::MessageReader reader(*notifications, sizeof(fuse_out_header), fuse::kMaxNotification);
  int invalidated = 0;
  for (;;) {
    auto message = reader.next();
    ASSERT_TRUE(message.has_value() && message->has_value());
    if (fuse::check_notification(**message).value() == fuse::NotificationKind::fence) {
      ASSERT_TRUE(notifications->write_all(**message).has_value());
      break;
    }
    ++invalidated;
  }
  EXPECT_GE(invalidated, 1);
  auto done = receive();
  EXPECT_EQ(done.id, 77U);
  EXPECT_EQ(done.status, ControlStatus::ok);
}

TEST_F(ControlTest, SaysWhenAClientDoesNotConfirm) {
  auto lane = add(ControlKind::add_lane, 1);
  auto notifications = add(ControlKind::add_notifier, 1);
  notifications.reset();
  ASSERT_TRUE(control.send(ControlMessage{.kind = ControlKind::invalidate, .id = 77}).has_value());
  EXPECT_EQ(receive().status, ControlStatus::unconfirmed);
}

TEST_F(ControlTest, AMountThatStandsStillKeepsNoOtherFromBeingTold) {
  auto lane = add(ControlKind::add_lane, 1);
  auto still = add(ControlKind::add_notifier, 1);
  auto other = add(ControlKind::add_lane, 2);
  auto lively = add(ControlKind::add_notifier, 2);
  ASSERT_TRUE(control.send(ControlMessage{.kind = ControlKind::invalidate, .id = 77}).has_value());
  // The first goes on once the second has been told.
  fuse::MessageReader told(*lively, sizeof(fuse_out_header), fuse::kMaxNotification);
  ASSERT_TRUE(confirm(told, *lively));
  std::thread one([&] {
    fuse::MessageReader late(*still, sizeof(fuse_out_header), fuse::kMaxNotification);
    while (confirm(late, *still)) {
    }
  });
  std::thread two([&] {
    while (confirm(told, *lively)) {
    }
  });
  EXPECT_EQ(receive().status, ControlStatus::ok);
  lane.reset();
  other.reset();
  end();
  one.join();
  two.join();
}

TEST_F(ControlTest, ALaneForWhichThereIsNoDescriptorIsRefusedAlone) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers' own checks need a descriptor";
#endif
  auto lane = add(ControlKind::add_lane, 1);
  auto pair = sys::make_socket_pair(SOCK_STREAM).value();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  int lowest = ::dup(0);  // all below it are taken
  ASSERT_GE(lowest, 0);
  ::close(lowest);
  rlimit none{.rlim_cur = static_cast<rlim_t>(lowest), .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  auto reply = tell({.kind = ControlKind::add_lane, .id = 5, .session = 1}, {pair.second.get()});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(reply.status, ControlStatus::full);
  EXPECT_EQ(ask(*lane, FUSE_GETATTR, FUSE_ROOT_ID, with(fuse_getattr_in{})).error, 0);
  add(ControlKind::add_lane, 1);
}

TEST_F(ControlTest, HearsTwiceOfAJob) {
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(tell({.kind = ControlKind::begin_job, .session = 9, .since = 1}).status, ControlStatus::ok);
}

TEST_F(ControlTest, HasLimits) {
  std::vector<std::unique_ptr<sys::FdStream>> lanes;
  for (std::size_t i = 0; i < kMaxLanes; ++i) lanes.push_back(add(ControlKind::add_lane, 1));
  add(ControlKind::add_lane, 1, ControlStatus::full);
  for (std::uint64_t session = 2; session <= kMaxSessions; ++session)
    lanes.push_back(add(ControlKind::add_lane, session));
  add(ControlKind::add_lane, 99, ControlStatus::full);
}

TEST_F(ControlTest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(tell({.kind = ControlKind::add_lane, .id = 1}).status, ControlStatus::invalid);
  EXPECT_EQ(tell({.kind = static_cast<ControlKind>(99), .id = 2}).status, ControlStatus::invalid);
  add(ControlKind::add_notifier, 7, ControlStatus::invalid);  // of a mount without lanes
  add(ControlKind::stats, 7, ControlStatus::invalid);         // with a descriptor
}

TEST_F(ControlTest, EndsWithItsControlSocketWhateverTheLanesDo) {
  auto lane = add(ControlKind::add_lane, 1);
  end();
  EXPECT_EQ(code_, 0);
  ByteArray<1> byte;
  EXPECT_EQ(lane->read_some(byte).value_or(99), 0U);
}

}  // namespace
}  // namespace cloister::share
