// A client that keeps none of the kernel's manners: numbers it never got, sizes that lie, replies it never
// reads.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <fstream>
#include <limits>

#include "fuse/notification.h"
#include "fuse/reply_check.h"
#include "share/limits.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using Numbers = std::vector<std::uint64_t>;
constexpr std::size_t kManyRequests = 2000;

struct Request {
  const char* what;
  std::uint32_t opcode;
  Bytes body;
};

// Every operation on a node, well-formed, with a handle where it takes one.
std::vector<Request> on_a_node(std::uint64_t handle) {
  auto link = name_bytes("made");
  append(link, name_bytes("target"));
  std::uint32_t xattr[2] = {0, 0};
  return {
      {"lookup", FUSE_LOOKUP, name_bytes("f")},
      {"getattr", FUSE_GETATTR, with(fuse_getattr_in{})},
      {"setattr", FUSE_SETATTR, with(fuse_setattr_in{.valid = FATTR_MODE, .mode = 0600})},
      {"setattr by handle", FUSE_SETATTR,
       with(fuse_setattr_in{.valid = FATTR_SIZE | FATTR_FH, .fh = handle})},
      {"readlink", FUSE_READLINK, {}},
      {"symlink", FUSE_SYMLINK, link},
      {"mknod", FUSE_MKNOD, with(fuse_mknod_in{.mode = S_IFREG | 0600}, {"made"})},
      {"mkdir", FUSE_MKDIR, with(fuse_mkdir_in{.mode = 0700}, {"made"})},
      {"unlink", FUSE_UNLINK, name_bytes("f")},
      {"rmdir", FUSE_RMDIR, name_bytes("d")},
      {"rename", FUSE_RENAME, with(fuse_rename_in{.newdir = FUSE_ROOT_ID}, {"f", "made"})},
      {"rename2", FUSE_RENAME2, with(fuse_rename2_in{.newdir = FUSE_ROOT_ID}, {"f", "made"})},
      {"link", FUSE_LINK, with(fuse_link_in{.oldnodeid = FUSE_ROOT_ID}, {"made"})},
      {"open", FUSE_OPEN, with(fuse_open_in{})},
      {"create", FUSE_CREATE, with(fuse_create_in{.flags = O_RDWR, .mode = 0600}, {"made"})},
      {"tmpfile", FUSE_TMPFILE, with(fuse_create_in{.flags = O_RDWR, .mode = 0600}, {"/"})},
      {"setxattr", FUSE_SETXATTR, with(xattr, {"user.made"})},
      {"getxattr", FUSE_GETXATTR, with(fuse_getxattr_in{.size = 8}, {"user.k"})},
      {"listxattr", FUSE_LISTXATTR, with(fuse_getxattr_in{.size = 8})},
      {"removexattr", FUSE_REMOVEXATTR, name_bytes("user.k")},
      {"opendir", FUSE_OPENDIR, with(fuse_open_in{})},
  };
}

// Every operation on an open file or directory.
std::vector<Request> on_a_handle(std::uint64_t handle, std::uint64_t node) {
  auto write = with(fuse_write_in{.fh = handle, .size = 1});
  append(write, as_bytes("x"));
  return {
      {"setattr", FUSE_SETATTR, with(fuse_setattr_in{.valid = FATTR_SIZE | FATTR_FH, .fh = handle})},
      {"read", FUSE_READ, with(fuse_read_in{.fh = handle, .size = 16})},
      {"write", FUSE_WRITE, write},
      {"fsync", FUSE_FSYNC, with(fuse_fsync_in{.fh = handle})},
      {"fallocate", FUSE_FALLOCATE, with(fuse_fallocate_in{.fh = handle, .length = 16})},
      {"lseek", FUSE_LSEEK, with(fuse_lseek_in{.fh = handle, .whence = SEEK_DATA})},
      {"copy", FUSE_COPY_FILE_RANGE,
       with(fuse_copy_file_range_in{.fh_in = handle, .nodeid_out = node, .fh_out = handle, .len = 1})},
      {"readdir", FUSE_READDIR, with(fuse_read_in{.fh = handle, .size = 512})},
      {"readdirplus", FUSE_READDIRPLUS, with(fuse_read_in{.fh = handle, .size = 512})},
      {"fsyncdir", FUSE_FSYNCDIR, with(fuse_fsync_in{.fh = handle})},
      {"release", FUSE_RELEASE, with(fuse_release_in{.fh = handle})},
      {"releasedir", FUSE_RELEASEDIR, with(fuse_release_in{.fh = handle})},
  };
}

class HostileClientTest : public ShareTest {
 protected:
  void SetUp() override {
    ShareTest::SetUp();
    write_text(root / "f", "content");
    write_text(root / "g", "another");
    std::filesystem::create_directory(root / "d");
  }
  // What stands in the share, but for times.
  void expect_untouched() {
    EXPECT_EQ(read_text(root / "f"), "content");
    EXPECT_EQ(read_text(root / "g"), "another");
    EXPECT_FALSE(std::filesystem::exists(root / "made"));
    EXPECT_TRUE(std::filesystem::is_directory(root / "d"));
  }
};

TEST_F(HostileClientTest, ANodeNeverGotOrGivenBackIsStaleToEveryOperation) {
  auto given_back = node_of("f");
  send(make_request(FUSE_FORGET, given_back, with(fuse_forget_in{.nlookup = 1})));
  for (std::uint64_t node : Numbers{std::uint64_t{0}, given_back, given_back + 1, 1ULL << 32, ~0ULL}) {
    for (const auto& request : on_a_node(1))
      EXPECT_EQ(ask(request.opcode, node, request.body).error, ESTALE) << request.what << " of node " << node;
    EXPECT_EQ(rename(FUSE_ROOT_ID, "f", node, "made").error, ESTALE);
    EXPECT_EQ(ask(FUSE_LINK, FUSE_ROOT_ID, with(fuse_link_in{.oldnodeid = node}, {"made"})).error, ESTALE);
  }
  expect_untouched();
  EXPECT_EQ(server_->stats().inodes, 1U);
}

TEST_F(HostileClientTest, AHandleNeverGotGivenBackOrOfAnotherNodeIsBadToEveryOperation) {
  auto f = node_of("f");
  auto g = node_of("g");
  auto of_g = open(g, O_RDWR);
  auto of_root = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
  auto released = open(f, O_RDWR);
  EXPECT_EQ(ask(FUSE_RELEASE, f, with(fuse_release_in{.fh = released})).error, 0);
  for (std::uint64_t handle : Numbers{std::uint64_t{0}, released, of_g, of_root, released + 1, ~0ULL}) {
    for (const auto& request : on_a_handle(handle, f))
      EXPECT_EQ(ask(request.opcode, f, request.body).error, EBADF) << request.what << " by handle " << handle;
  }
  expect_untouched();
  EXPECT_EQ(server_->stats().handles, 2U);
}

TEST_F(HostileClientTest, AHandleOfTheOtherKindIsBadToEveryOperation) {
  auto f = node_of("f");
  auto file = open(f, O_RDWR);
  auto directory = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
  for (auto opcode : {FUSE_READDIR, FUSE_READDIRPLUS})
    EXPECT_EQ(ask(opcode, f, with(fuse_read_in{.fh = file, .size = 512})).error, EBADF);
  EXPECT_EQ(ask(FUSE_FSYNCDIR, f, with(fuse_fsync_in{.fh = file})).error, EBADF);
  EXPECT_EQ(ask(FUSE_RELEASEDIR, f, with(fuse_release_in{.fh = file})).error, EBADF);
  auto as_file = on_a_handle(directory, FUSE_ROOT_ID);
  for (std::size_t i = 1; i < 7; ++i)
    EXPECT_EQ(ask(as_file[i].opcode, FUSE_ROOT_ID, as_file[i].body).error, EBADF) << as_file[i].what;
  EXPECT_EQ(ask(FUSE_RELEASE, FUSE_ROOT_ID, with(fuse_release_in{.fh = directory})).error, EBADF);
  EXPECT_EQ(server_->stats().handles, 2U);
}

TEST_F(HostileClientTest, WhatIsTooLongIsRefusedAndMakesNothing) {
  std::string long_name(fuse::kMaxWrite, 'n');
  std::string long_path(64 * 1024, '/');
  for (const auto& name : {long_name, long_path, std::string(256, 'n')}) {
    EXPECT_NE(lookup(name).error, 0);
    EXPECT_NE(make_dir(name).error, 0);
    EXPECT_NE(make_link(name, "target").error, 0);
    EXPECT_NE(rename(FUSE_ROOT_ID, "f", FUSE_ROOT_ID, name).error, 0);
    EXPECT_NE(ask(FUSE_CREATE, FUSE_ROOT_ID, with(fuse_create_in{.flags = O_RDWR}, {name})).error, 0);
  }
  EXPECT_EQ(make_link("made", std::string(fuse::kMaxSymlink + 1, 't')).error, ENAMETOOLONG);
  EXPECT_EQ(make_link("made", "").error, ENOENT);
  auto f = node_of("f");
  std::uint32_t head[2] = {static_cast<std::uint32_t>(fuse::kMaxXattrValue) + 1, 0};
  auto xattr = with(head, {"user.k"});
  append(xattr, Bytes(fuse::kMaxXattrValue + 1));
  EXPECT_EQ(ask(FUSE_SETXATTR, f, xattr).error, E2BIG);
  std::uint32_t lying[2] = {100, 0};
  EXPECT_EQ(ask(FUSE_SETXATTR, f, with(lying, {"user.k"})).error, EIO);
  expect_untouched();
}

TEST_F(HostileClientTest, AWriteThatLiesAboutItsLengthWritesNothing) {
  auto f = node_of("f");
  auto handle = open(f, O_RDWR);
  for (std::uint32_t said : {0U, 1U, 5U, fuse::kMaxWrite, fuse::kMaxWrite + 1, ~0U}) {
    auto body = with(fuse_write_in{.fh = handle, .size = said});
    append(body, as_bytes("four"));
    EXPECT_NE(ask(FUSE_WRITE, f, body).error, 0) << said;
  }
  expect_untouched();
}

TEST_F(HostileClientTest, ABatchOfForgetsIsTakenWholeOrNotAtAll) {
  auto f = node_of("f");
  for (std::uint32_t count : {0U, 2U, static_cast<std::uint32_t>(fuse::kMaxForgets) + 1, 1U << 28, ~0U}) {
    auto batch = with(fuse_batch_forget_in{.count = count});
    append(batch, fuse::bytes_of(fuse_forget_one{.nodeid = f, .nlookup = 1}));
    send(make_request(FUSE_BATCH_FORGET, 0, batch));
    EXPECT_EQ(ask(FUSE_GETATTR, f, with(fuse_getattr_in{})).error, 0) << count;
  }
  // The same node many times over, each time all there is: it goes once.
  auto batch = with(fuse_batch_forget_in{.count = 1000});
  for (int i = 0; i < 1000; ++i)
    append(batch, fuse::bytes_of(fuse_forget_one{.nodeid = f, .nlookup = ~0ULL}));
  send(make_request(FUSE_BATCH_FORGET, 0, batch));
  EXPECT_EQ(ask(FUSE_GETATTR, f, with(fuse_getattr_in{})).error, ESTALE);
  EXPECT_EQ(server_->stats().inodes, 1U);
}

TEST_F(HostileClientTest, AListingFromAnywhereIsAListing) {
  auto handle = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
  constexpr std::uint64_t kLast = std::numeric_limits<off_t>::max();
  for (auto opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    for (std::uint64_t offset :
         Numbers{std::uint64_t{3}, 1ULL << 31, 1ULL << 32, kLast - 1, kLast, kLast + 1, ~0ULL}) {
      fuse_read_in in{.fh = handle, .offset = offset, .size = 4096};
      auto request = make_request(opcode, FUSE_ROOT_ID, with(in), unique_ += 2);
      send(request);
      auto reply = reader_->next();
      ASSERT_TRUE(reply.has_value() && reply->has_value());
      EXPECT_TRUE(fuse::check_reply(fuse::outstanding_of(request), **reply, {}).has_value()) << offset;
    }
    for (std::uint32_t size : {0U, 1U, 31U, 160U})
      EXPECT_LE(ask(opcode, FUSE_ROOT_ID, with(fuse_read_in{.fh = handle, .size = size})).body.size(), size);
    EXPECT_GT(ask(opcode, FUSE_ROOT_ID, with(fuse_read_in{.fh = handle, .size = 4096})).body.size(), 100U);
  }
}

// Several lanes to the same server, beside the one of ShareTest.
class HostileLanesTest : public HostileClientTest {
 protected:
  sys::FdStream& add_lane() {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    lanes_.push_back(std::make_unique<sys::FdStream>(std::move(pair.first)));
    lanes_.back()->set_deadline(sys::Deadline::after(sys::seconds(20)));
    serving_.emplace_back([this, fd = pair.second.release()] { server_->serve_lane(sys::Fd(fd)); });
    return *lanes_.back();
  }
  void TearDown() override {
    lanes_.clear();
    for (auto& thread : serving_) thread.join();
    HostileClientTest::TearDown();
  }
  std::vector<std::unique_ptr<sys::FdStream>> lanes_;
  std::vector<std::thread> serving_;
};

TEST_F(HostileLanesTest, AClientThatNeverReadsHoldsOneReplyPerLane) {
  std::ofstream(root / "big").seekp(fuse::kMaxWrite - 1).put('x');
  auto big = node_of("big");
  auto handle = open(big, O_RDONLY);
  auto before = server_->stats();
  auto request = make_request(FUSE_READ, big, with(fuse_read_in{.fh = handle, .size = fuse::kMaxWrite}));
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    int fd = add_lane().descriptor();
    // As many as the socket takes: nobody reads them while the first reply waits.
    for (int sent = 0; sent < 10'000 && ::send(fd, request.data(), request.size(), MSG_DONTWAIT) > 0;
         ++sent) {
    }
  }
  auto all_answered = [&] {
    return server_->stats().bytes_read - before.bytes_read >= kMaxLanes * fuse::kMaxWrite;
  };
  for (int i = 0; i < 4000 && !all_answered(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  // The server is there for others, and has read no further.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(as_text(read(big, handle, fuse::kMaxWrite - 1, 1).body), "x");
  EXPECT_EQ(server_->stats().requests - before.requests, kMaxLanes + 100);
  EXPECT_EQ(server_->stats().bytes_read - before.bytes_read, kMaxLanes * fuse::kMaxWrite + 100);
}

TEST_F(HostileLanesTest, AFloodOnEveryLaneIsAnsweredInOrder) {
  auto f = node_of("f");
  std::vector<std::thread> clients;
  std::atomic<std::size_t> in_order{0};
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    auto& lane = add_lane();
    clients.emplace_back([&lane, f] {
      Bytes flood;
      for (std::size_t n = 1; n <= kManyRequests; ++n)
        append(flood, make_request(FUSE_GETATTR, f, with(fuse_getattr_in{}), n * 2));
      EXPECT_TRUE(lane.write_all(flood).has_value());
    });
    clients.emplace_back([&lane, &in_order] {
      fuse::MessageReader reader(lane, sizeof(fuse_out_header), fuse::kMaxMessage);
      for (std::size_t n = 1; n <= kManyRequests; ++n) {
        auto reply = reader.next();
        if (!reply || !reply->has_value() || fuse::load<fuse_out_header>(**reply).unique != n * 2) return;
        ++in_order;
      }
    });
  }
  for (auto& thread : clients) thread.join();
  EXPECT_EQ(in_order, kMaxLanes * kManyRequests);
  EXPECT_EQ(server_->stats().inodes, 2U);
}

TEST_F(HostileLanesTest, ManyLanesRaceForOneNodeAndItsHandles) {
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    auto& lane = add_lane();
    clients.emplace_back([&lane] {
      fuse::MessageReader reader(lane, sizeof(fuse_out_header), fuse::kMaxMessage);
      auto tell = [&](std::uint32_t opcode, std::uint64_t node, const Bytes& body) {
        EXPECT_TRUE(lane.write_all(make_request(opcode, node, body)).has_value());
      };
      for (std::uint64_t n = 0; n < 200; ++n) {
        tell(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("f"));
        tell(FUSE_OPEN, 2 + n % 8, with(fuse_open_in{}));
        tell(FUSE_READ, 2 + n % 8, with(fuse_read_in{.fh = 1 + n % 16, .size = 16}));
        tell(FUSE_RELEASE, 2 + n % 8, with(fuse_release_in{.fh = 1 + n % 16}));
        tell(FUSE_FORGET, 2 + n % 8, with(fuse_forget_in{.nlookup = n % 3}));
        if (n % 50 == 0) tell(FUSE_DESTROY, 0, {});
        for (int replies = n % 50 == 0 ? 5 : 4; replies > 0; --replies)
          EXPECT_TRUE(reader.next().has_value());
      }
    });
  }
  for (auto& thread : clients) thread.join();
  EXPECT_EQ(ask(FUSE_DESTROY, 0).error, 0);
  EXPECT_EQ(server_->stats().inodes, 1U);
  EXPECT_EQ(server_->stats().handles, 0U);
}

// The client's end of the notification lane.
class HostileConfirmationTest : public HostileClientTest {
 protected:
  void connect() {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    server_->set_notifier(std::move(pair.first));
    client_ = std::make_unique<sys::FdStream>(std::move(pair.second));
  }
  bool invalidate() {
    return server_->invalidate_changed(sys::Deadline::after(std::chrono::milliseconds(200))).has_value();
  }
  std::unique_ptr<sys::FdStream> client_;
};

TEST_F(HostileConfirmationTest, OnlyTheRightFenceConfirms) {
  auto right = fuse::encode_fence(1);
  auto of_another_code = right;
  fuse::store(of_another_code, std::int32_t{FUSE_NOTIFY_INVAL_INODE}, offsetof(fuse_out_header, error));
  auto of_another_length = right;
  fuse::store(of_another_length, std::uint32_t{25});
  auto cut_short = Bytes(right.begin(), right.begin() + 20);
  std::uint64_t number = 0;
  for (const auto& forged :
       {Bytes(24), of_another_code, of_another_length, cut_short, fuse::encode_fence(1000)}) {
    connect();
    EXPECT_TRUE(client_->write_all(forged).has_value());
    EXPECT_FALSE(invalidate());
    EXPECT_FALSE(invalidate()) << "what follows a forged fence is not understood";
    ++number;  // the second of each pair was not sent
  }
  // Another lane mends it.
  connect();
  EXPECT_TRUE(client_->write_all(fuse::encode_fence(number + 1)).has_value());
  EXPECT_TRUE(invalidate());
}

TEST_F(HostileConfirmationTest, OldFencesWithoutEndDoNotConfirm) {
  connect();
  EXPECT_FALSE(invalidate());
  std::atomic<bool> over{false};
  std::thread flooding([&] {
    auto old = fuse::encode_fence(0);
    client_->set_deadline(sys::Deadline::after(sys::seconds(5)));
    while (!over && client_->write_all(old)) {
    }
  });
  EXPECT_FALSE(invalidate());
  over = true;
  server_->set_notifier(sys::Fd());  // closes the lane, so that the flood ends
  flooding.join();
}

}  // namespace
}  // namespace cloister::share
