// The listener's jobs and share servers, beside a monitor and share servers that this test plays.
#include "enclave/jobs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <deque>
#include <thread>

#include "enclave/job.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::enclave {
namespace {

constexpr sys::milliseconds kPatience = sys::seconds(10);
constexpr sys::milliseconds kShort{50};

// Gives out share servers and jobs that do nothing by themselves.
class FakeMonitor {
 public:
  FakeMonitor() {
    auto pair = sys::make_socket_pair(SOCK_SEQPACKET).value();
    peer.emplace(sys::MessageSocket(std::move(pair.first)));
    socket_ = sys::MessageSocket(std::move(pair.second));
    thread_ = std::thread([this] { run(); });
  }
  ~FakeMonitor() {
    peer.reset();
    thread_.join();
  }
  // The control channel of the share server that was opened last.
  sys::MessageSocket take_server() {
    std::lock_guard lock(mutex_);
    auto server = std::move(servers_.back());
    servers_.pop_back();
    return server;
  }
  // Their launchers close; each is followed to its end by its own thread.
  void end_jobs() {
    std::lock_guard lock(mutex_);
    launchers_.clear();
  }
  std::atomic<bool> refuses_jobs = false;
  std::optional<MonitorPeer> peer;

 private:
  void run() {
    auto request = std::make_unique<MonitorRequest>();
    while (socket_.receive(*request)) {
      MonitorReply reply;
      if (request->call == MonitorCall::start_job && refuses_jobs) {
        reply.error.set(Error(ErrorKind::exhausted, "no"));
        EXPECT_TRUE(socket_.send(reply).has_value());
        continue;
      }
      auto pair = sys::make_socket_pair(SOCK_SEQPACKET).value();
      sys::Fd output(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      std::vector<int> fds{pair.first.get()};
      std::lock_guard lock(mutex_);
      if (request->call == MonitorCall::start_job) {
        fds.push_back(output.get());
        launchers_.emplace_back(std::move(pair.second));
      } else {
        servers_.emplace_back(std::move(pair.second));
      }
      EXPECT_TRUE(socket_.send(reply, fds).has_value());
    }
  }
  sys::MessageSocket socket_;
  std::mutex mutex_;
  std::vector<sys::MessageSocket> servers_;
  std::vector<sys::MessageSocket> launchers_;  // jobs run for as long as these are open
  std::thread thread_;
};

class JobTableTest : public testing::Test {
 protected:
  ~JobTableTest() override {
    answering_ = false;
    for (auto& thread : answerers_) thread.join();
  }
  static PostedJob posted(JobId id) {
    PostedJob out;
    out.order = std::make_unique<JobOrder>();
    out.order->id = id;
    out.share_output = true;
    return out;
  }
  sys::MessageSocket open(ShareServers& shares, const ClientId& client) {
    EXPECT_TRUE(shares.open(client).has_value());
    return monitor_.take_server();
  }
  static share::ControlMessage next(const sys::MessageSocket& server) {
    share::ControlMessage message;
    EXPECT_TRUE(server.receive(message, 1, sys::Deadline::after(kPatience)).has_value());
    return message;
  }
  static void answer(const sys::MessageSocket& server, const share::ControlMessage& message,
                     share::ControlReply reply = {}) {
    reply.kind = message.kind;
    reply.id = message.id;
    EXPECT_TRUE(server.send(reply).has_value());
  }
  // Says yes to everything from now on.
  void obey(sys::MessageSocket server) {
    answerers_.emplace_back([this, server = std::move(server)] {
      while (answering_) {
        share::ControlMessage message;
        if (server.receive(message, 1, sys::Deadline::after(kShort))) answer(server, message);
      }
    });
  }

  const ClientId slow_ = crypto::sha256(as_bytes("slow"));
  const ClientId other_ = crypto::sha256(as_bytes("other"));
  Log log_{2, "test"};
  std::atomic<bool> answering_ = true;
  std::vector<std::thread> answerers_;
  FakeMonitor monitor_;
  ShareServers shares_{*monitor_.peer};
};

TEST_F(JobTableTest, AShareServerThatDoesNotAnswerKeepsNobodyElseWaiting) {
  JobTable jobs(*monitor_.peer, shares_, log_);
  auto silent = open(shares_, slow_);
  obey(open(shares_, other_));
  std::atomic<bool> over = false;
  std::thread starting([&] {
    EXPECT_TRUE(jobs.start(slow_, posted(1)).has_value());
    over = true;
  });
  auto begin = next(silent);
  EXPECT_EQ(begin.kind, share::ControlKind::begin_job);
  EXPECT_TRUE(jobs.start(other_, posted(2)).has_value());
  EXPECT_EQ(jobs.list(other_).size(), 1U);
  EXPECT_EQ(jobs.list(slow_).size(), 0U);
  EXPECT_FALSE(over);  // it waited for as long as it may
  answer(silent, begin);
  starting.join();
  EXPECT_EQ(jobs.list(slow_).size(), 1U);
  obey(std::move(silent));
  monitor_.end_jobs();
}

TEST_F(JobTableTest, AJobThatIsStillBeingStartedTakesItsPlace) {
  JobTable jobs(*monitor_.peer, shares_, log_);
  auto server = open(shares_, slow_);
  std::thread starting([&] { EXPECT_FALSE(jobs.start(slow_, posted(1)).has_value()); });
  auto begin = next(server);
  auto alone = posted(2);
  alone.share_output = false;
  auto refused = jobs.start(slow_, alone);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  // The place is given back where the job is refused after all, and its end is told.
  monitor_.refuses_jobs = true;
  answer(server, begin);
  auto end = next(server);
  EXPECT_EQ(end.kind, share::ControlKind::end_job);
  EXPECT_EQ(end.session, begin.session);
  answer(server, end);
  starting.join();
  monitor_.refuses_jobs = false;
  obey(std::move(server));
  EXPECT_TRUE(jobs.start(slow_, alone).has_value());
  monitor_.end_jobs();
}

TEST_F(JobTableTest, ANewShareServerHearsOfTheJobsThatRun) {
  auto first = open(shares_, slow_);
  std::thread beginning([&] {
    EXPECT_TRUE(shares_.begin_job(slow_, 7, false).has_value());
    EXPECT_TRUE(shares_.begin_job(slow_, 8, false).has_value());
    EXPECT_TRUE(shares_.end_job(slow_, 8).has_value());
  });
  auto begin = next(first);
  EXPECT_GT(begin.since, 0);
  answer(first, begin);
  for (int i = 0; i < 2; ++i) answer(first, next(first));
  beginning.join();
  first = {};
  auto second = open(shares_, slow_);
  auto told = next(second);
  EXPECT_EQ(told.kind, share::ControlKind::begin_job);
  EXPECT_EQ(told.session, 7U);
  EXPECT_EQ(told.since, begin.since);
  // Its answer is in nobody's way.
  answer(second, told);
  std::thread asking([&] { EXPECT_TRUE(shares_.check_room(slow_, false).has_value()); });
  auto stats = next(second);
  EXPECT_EQ(stats.kind, share::ControlKind::stats);
  answer(second, stats);
  asking.join();
}

TEST_F(JobTableTest, AShareServerThatIsOnlySlowIsNotReplaced) {
  ShareServers impatient(*monitor_.peer, kShort);
  auto server = open(impatient, slow_);
  EXPECT_FALSE(impatient.begin_job(slow_, 1, false).has_value());
  EXPECT_TRUE(impatient.open(slow_).has_value());
  std::thread asking([&] { EXPECT_TRUE(impatient.end_job(slow_, 1).has_value()); });
  answer(server, next(server));  // late
  answer(server, next(server));
  asking.join();
}

// What is not read fills the channel in the end; whoever sends must notice.
TEST_F(JobTableTest, AShareServerThatReadsNothingBlocksNobody) {
  ShareServers impatient(*monitor_.peer, sys::milliseconds(1));
  auto server = open(impatient, slow_);
  std::string last;
  for (int i = 0; i < 5000 && !last.contains("send"); ++i)
    last = impatient.begin_job(slow_, static_cast<std::uint64_t>(i), false).error().message();
  EXPECT_TRUE(last.contains("send")) << last;
}

TEST_F(JobTableTest, AShareThatIsMountedAsOftenAsItCanBeHasNoRoom) {
  auto server = open(shares_, slow_);
  for (std::uint64_t mounts : {3U, 4U}) {
    Status room;
    std::thread asking([&] { room = shares_.check_room(slow_, false); });
    answer(server, next(server), {.sessions = mounts});
    asking.join();
    ASSERT_EQ(room.has_value(), mounts < share::kMaxSessions);
    if (!room) {
      EXPECT_EQ(room.error().kind(), ErrorKind::exhausted);
    }
  }
}

}  // namespace
}  // namespace cloister::enclave
