// What the client's kernel is asked to let go of when it remembers too much, and when.
#include "share/reclaimer.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <new>

#include "fuse/notification.h"
#include "share/filesystem.h"
#include "share/notify.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct stat look(int path) {
  struct stat info{};
  EXPECT_EQ(::fstat(path, &info), 0);
  return info;
}

class IdleTest : public testing::Test {
 protected:
  static constexpr std::size_t kLimit = 16;
  sys::Fd path(const std::string& name) const {
    return sys::Fd(::open((root / name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  InodePtr refer(const std::string& name) {
    auto fd = path(name);
    auto info = look(fd.get());
    return table.reference(std::move(fd), info).value();
  }
  InodePtr file(const std::string& name) {
    write_text(root / name, "");
    return refer(name);
  }
  std::vector<NodeId> idle(std::size_t count) {
    std::vector<NodeId> out;
    for (const auto& inode : table.idle(count)) out.push_back(inode->id);
    std::sort(out.begin(), out.end());
    return out;
  }
  TemporaryDirectory root;
  InodeTable table{path("."), look(path(".").get()), kLimit};
};

TEST_F(IdleTest, AreAskedForInTurn) {
  for (const char* name : {"a", "b", "c", "d", "e"}) file(name);
  EXPECT_THAT(idle(2), ElementsAre(2, 3));
  EXPECT_THAT(idle(2), ElementsAre(4, 5));
  EXPECT_THAT(idle(2), ElementsAre(2, 6));
  EXPECT_THAT(idle(99), ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(idle(0), IsEmpty());
}

TEST_F(IdleTest, AreNotDirectoriesNorInUse) {
  file("a");
  auto held = file("b");
  std::filesystem::create_directory(root / "d");
  refer("d");
  std::filesystem::create_symlink("a", root / "l");
  refer("l");
  EXPECT_THAT(idle(9), ElementsAre(2, 5));
  held.reset();
  EXPECT_THAT(idle(9), ElementsAre(2, 3, 5));
  // Asked about, they are not in use by that.
  auto asked = table.idle(9);
  EXPECT_THAT(idle(9), IsEmpty());
  asked.clear();
  EXPECT_THAT(idle(9), ElementsAre(2, 3, 5));
}

// A file system of which the client may know 16 inodes: crowded from 12 on, the root among them, and asked to
// let go of 2 at a time.
class ReclaimerTest : public testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.max_inodes = 16;
    fs = FileSystem::create(sys::Dir::open(root.path()).value(), std::move(options)).value();
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    far_end = std::move(pair.first);
    client = std::make_unique<sys::FdStream>(std::move(pair.second));
    client->set_deadline(sys::Deadline::after(sys::seconds(20)));
  }
  void connect() { notifier.set(std::move(far_end)); }
  int run(std::uint32_t opcode, NodeId node, const Bytes& body) {
    auto message = make_request(opcode, node, body);
    auto header = fuse::decode_header(message).value();
    Bytes room(fuse::kMaxMessage);
    ReplyBody out(room);
    auto done = fs->run(header, fuse::decode_body(header, message).value(), out);
    return done ? 0 : done.error().value;
  }
  // As nodes 2, 3, … in that order.
  void know_files(std::size_t first, std::size_t last) {
    for (auto i = first; i <= last; ++i) {
      write_text(root / std::to_string(i), "");
      ASSERT_EQ(run(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes(std::to_string(i))), 0);
    }
  }
  void forget(const std::string& name) {
    ASSERT_EQ(run(FUSE_FORGET, std::stoul(name), with(fuse_forget_in{.nlookup = 1})), 0);
  }
  // The names that one delivery asks to drop; it is confirmed.
  std::vector<std::string> next_dropped() {
    std::vector<std::string> names;
    fuse::MessageReader reader(*client, sizeof(fuse_out_header), fuse::kMaxNotification);
    for (;;) {
      auto message = reader.next();
      if (!message || !message->has_value()) {
        ADD_FAILURE() << "no delivery";
        return names;
      }
      auto kind = fuse::check_notification(**message).value();
      if (kind == fuse::NotificationKind::fence) {
        EXPECT_TRUE(client->write_all(**message).has_value());
        return names;
      }
      EXPECT_EQ(kind, fuse::NotificationKind::drop_entry);
      auto text = as_text((*message)->subspan(sizeof(fuse_out_header) + sizeof(fuse_notify_inval_entry_out)));
      names.emplace_back(text.substr(0, text.find('\0')));
    }
  }
  // A wake while the one before is being answered is none: requests come all the time.
  void pace_until_asked(Reclaimer& reclaimer) const {
    pollfd readable{.fd = client->descriptor(), .events = POLLIN, .revents = 0};
    for (int i = 0; i < 2000 && ::poll(&readable, 1, 10) == 0; ++i) reclaimer.pace();
  }
  bool nothing_was_sent() const {
    std::uint8_t byte = 0;
    return ::recv(client->descriptor(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

  TemporaryDirectory root;
  std::unique_ptr<FileSystem> fs;
  sys::Fd far_end;
  std::unique_ptr<sys::FdStream> client;
  Notifier notifier;
};

TEST_F(ReclaimerTest, AsksForNothingWhereThereIsRoom) {
  connect();
  know_files(2, 11);
  {
    Reclaimer reclaimer(*fs, notifier);
    for (int i = 0; i < 100; ++i) reclaimer.pace();
  }
  EXPECT_TRUE(nothing_was_sent());
}

TEST_F(ReclaimerTest, AsksForTheOldestUntilThereIsRoom) {
  connect();
  know_files(2, 14);
  {
    Reclaimer reclaimer(*fs, notifier);
    for (const auto& expected : {std::vector<std::string>{"2", "3"}, {"4", "5"}}) {
      pace_until_asked(reclaimer);
      auto dropped = next_dropped();
      std::sort(dropped.begin(), dropped.end());
      EXPECT_EQ(dropped, expected);
      for (const auto& name : dropped) forget(name);
    }
    EXPECT_EQ(fs->inode_count(), 10U);
    reclaimer.pace();
  }
  EXPECT_TRUE(nothing_was_sent());
}

TEST_F(ReclaimerTest, AsksForEveryNameOfAFile) {
  connect();
  know_files(2, 12);
  std::filesystem::create_hard_link(root / "2", root / "again");
  ASSERT_EQ(run(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("again")), 0);
  Reclaimer reclaimer(*fs, notifier);
  reclaimer.pace();
  EXPECT_THAT(next_dropped(), testing::UnorderedElementsAre("2", "again", "3"));
}

TEST_F(ReclaimerTest, WhatIsInUseStays) {
  connect();
  know_files(2, 12);
  ASSERT_EQ(run(FUSE_OPEN, 2, with(fuse_open_in{.flags = O_RDWR})), 0);
  ASSERT_EQ(run(FUSE_OPEN, 4, with(fuse_open_in{.flags = O_RDONLY})), 0);
  Reclaimer reclaimer(*fs, notifier);
  reclaimer.pace();
  EXPECT_THAT(next_dropped(), testing::UnorderedElementsAre("3", "5"));
}

TEST_F(ReclaimerTest, EndsWithoutTheClientsConsent) {
  connect();
  know_files(2, 15);
  {
    Reclaimer reclaimer(*fs, notifier);
    pace_until_asked(reclaimer);
  }
  EXPECT_EQ(run(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("nothing")), ENOENT);
  write_text(root / "more", "");
  EXPECT_EQ(run(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("more")), 0);
  write_text(root / "one too many", "");
  EXPECT_EQ(run(FUSE_LOOKUP, FUSE_ROOT_ID, name_bytes("one too many")), ENFILE);
}

}  // namespace
}  // namespace cloister::share
