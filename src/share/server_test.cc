// What an honest client sees.
#include "share/server.h"

#include <gmock/gmock.h>
#include <malloc.h>
#include <sys/socket.h>
#include <sys/xattr.h>

#include "fuse/notification.h"
#include "fuse/protocol.h"
#include "fuse/wire.h"
#include "share/notify.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using testing::Contains;
using testing::Not;
using testing::UnorderedElementsAre;

TEST_F(ShareTest, CreatesWritesAndReadsAFile) {
  auto made = ask(FUSE_CREATE, FUSE_ROOT_ID,
                  with(fuse_create_in{.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0640}, {"a"}));
  auto entry = made.as<fuse_entry_out>();
  auto handle = made.as<fuse_open_out>(sizeof(fuse_entry_out)).fh;
  EXPECT_EQ(write(entry.nodeid, handle, 3, "hello").as<fuse_write_out>().size, 5U);
  EXPECT_EQ(as_text(read(entry.nodeid, handle, 0, 100).body), std::string_view("\0\0\0hello", 8));
  EXPECT_EQ(read_text(root / "a"), std::string("\0\0\0hello", 8));
  struct stat info{};
  ASSERT_EQ(::stat((root / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(entry.attr.ino, info.st_ino);
  EXPECT_EQ(ask(FUSE_RELEASE, entry.nodeid, with(fuse_release_in{.fh = handle})).error, 0);
  EXPECT_EQ(read(entry.nodeid, handle, 0, 100).error, EBADF);
}

TEST_F(ShareTest, OpensWhatExistsUnlessExclusive) {
  write_text(root / "a", "old");
  fuse_create_in create{.flags = O_RDWR | O_CREAT, .mode = 0644};
  auto opened = ask(FUSE_CREATE, FUSE_ROOT_ID, with(create, {"a"}));
  EXPECT_EQ(opened.as<fuse_entry_out>().attr.size, 3U);
  create.flags |= O_EXCL;
  EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(create, {"a"})).error, EEXIST);
  create.flags = O_RDWR | O_CREAT | O_TRUNC;
  EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(create, {"a"})).as<fuse_entry_out>().attr.size, 0U);
}

TEST_F(ShareTest, AppendsWhereTheFileEndsNow) {
  write_text(root / "log", "one,");
  auto node = node_of("log");
  auto handle = open(node, O_WRONLY | O_APPEND);
  std::ofstream(root / "log", std::ios::app) << "job,";
  EXPECT_EQ(write(node, handle, 4, "two,", O_WRONLY | O_APPEND).error, 0);
  EXPECT_EQ(read_text(root / "log"), "one,job,two,");
  // A mapping's page goes to its own place, though the descriptor appends.
  EXPECT_EQ(write(node, handle, 0, "ONE", O_WRONLY | O_APPEND, FUSE_WRITE_CACHE).error, 0);
  EXPECT_EQ(read_text(root / "log"), "ONE,job,two,");
}

TEST_F(ShareTest, AFileLivesOnWithoutItsName) {
  write_text(root / "a", "data");
  auto node = node_of("a");
  auto handle = open(node, O_RDWR);
  EXPECT_EQ(ask(FUSE_UNLINK, FUSE_ROOT_ID, name_bytes("a")).error, 0);
  EXPECT_EQ(as_text(read(node, handle, 0, 10).body), "data");
  EXPECT_EQ(ask(FUSE_GETATTR, node, with(fuse_getattr_in{})).as<fuse_attr_out>().attr.nlink, 0U);
  // Opened anew by its node: no name is needed.
  auto again = open(node, O_RDONLY);
  EXPECT_EQ(as_text(read(node, again, 0, 10).body), "data");
}

TEST_F(ShareTest, NodeNumbersAreCountedAndNeverReused) {
  write_text(root / "a", "");
  auto node = node_of("a");
  EXPECT_EQ(node_of("a"), node);
  send(make_request(FUSE_FORGET, node, with(fuse_forget_in{.nlookup = 1})));
  EXPECT_EQ(ask(FUSE_GETATTR, node, with(fuse_getattr_in{})).error, 0);
  auto batch = with(fuse_batch_forget_in{.count = 1});
  append(batch, fuse::bytes_of(fuse_forget_one{.nodeid = node, .nlookup = 1}));
  send(make_request(FUSE_BATCH_FORGET, 0, batch));
  EXPECT_EQ(ask(FUSE_GETATTR, node, with(fuse_getattr_in{})).error, ESTALE);
  EXPECT_GT(node_of("a"), node);
  EXPECT_EQ(server_->stats().inodes, 2U);
}

TEST_F(ShareTest, SetsAttributes) {
  write_text(root / "a", "12345");
  auto node = node_of("a");
  fuse_setattr_in in{.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME,
                     .size = 2,
                     .mtime = 1'000'000'000,
                     .mtimensec = 7,
                     .mode = 0600};
  auto attr = ask(FUSE_SETATTR, node, with(in)).as<fuse_attr_out>().attr;
  EXPECT_EQ(attr.mode, S_IFREG | 0600U);
  EXPECT_EQ(attr.size, 2U);
  EXPECT_EQ(attr.mtime, 1'000'000'000U);
  EXPECT_EQ(attr.mtimensec, 7U);
  auto before = attr.atime;
  attr = ask(FUSE_SETATTR, node, with(fuse_setattr_in{.valid = FATTR_MTIME | FATTR_MTIME_NOW}))
             .as<fuse_attr_out>()
             .attr;
  EXPECT_GT(attr.mtime, 1'000'000'000U);
  EXPECT_EQ(attr.atime, before);
}

TEST_F(ShareTest, TellsTheTimeOfBirth) {
  write_text(root / "f", "content");
  auto stat = ask(fuse::kOpStatx, node_of("f"), with(fuse::StatxIn{})).as<fuse::StatxOut>().stat;
  struct statx wanted{};
  ASSERT_EQ(::statx(AT_FDCWD, (root / "f").c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &wanted), 0);
  EXPECT_EQ(stat.mask & STATX_BTIME, wanted.stx_mask & STATX_BTIME);
  EXPECT_EQ(stat.btime.nanoseconds, wanted.stx_btime.tv_nsec);
  EXPECT_EQ(stat.mtime.seconds, wanted.stx_mtime.tv_sec);
  EXPECT_EQ(stat.size, 7U);
  EXPECT_EQ(stat.mode, wanted.stx_mode);
}

TEST_F(ShareTest, TruncatesThroughAHandleThatMayWrite) {
  write_text(root / "a", "12345");
  auto node = node_of("a");
  fuse_setattr_in in{.valid = FATTR_SIZE | FATTR_FH, .fh = open(node, O_RDWR), .size = 1};
  EXPECT_EQ(ask(FUSE_SETATTR, node, with(in)).as<fuse_attr_out>().attr.size, 1U);
  in.fh = open(node, O_RDONLY);
  EXPECT_EQ(ask(FUSE_SETATTR, node, with(in)).error, EINVAL);
}

TEST_F(ShareTest, RenamesAndExchanges) {
  write_text(root / "a", "a");
  write_text(root / "b", "b");
  auto dir = make_dir("d").as<fuse_entry_out>().nodeid;
  EXPECT_EQ(rename(FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_NOREPLACE).error, EEXIST);
  EXPECT_EQ(rename(FUSE_ROOT_ID, "a", FUSE_ROOT_ID, "b", RENAME_EXCHANGE).error, 0);
  EXPECT_EQ(read_text(root / "a"), "b");
  EXPECT_EQ(rename(FUSE_ROOT_ID, "a", dir, "c").error, 0);
  EXPECT_EQ(read_text(root / "d/c"), "b");
  EXPECT_EQ(rename(FUSE_ROOT_ID, "b", dir, "c", RENAME_WHITEOUT).error, EINVAL);
}

TEST_F(ShareTest, LinksFilesButNotDirectories) {
  write_text(root / "a", "x");
  auto linked =
      ask(FUSE_LINK, FUSE_ROOT_ID, with(fuse_link_in{.oldnodeid = node_of("a")}, {"b"})).as<fuse_entry_out>();
  EXPECT_EQ(linked.attr.nlink, 2U);
  EXPECT_EQ(linked.nodeid, node_of("a"));
  auto dir = make_dir("d").as<fuse_entry_out>().nodeid;
  EXPECT_EQ(ask(FUSE_LINK, FUSE_ROOT_ID, with(fuse_link_in{.oldnodeid = dir}, {"e"})).error, EPERM);
}

TEST_F(ShareTest, ServesTheClientsOwnLinksVerbatim) {
  auto link = make_link("l", "/usr/bin/env").as<fuse_entry_out>();
  EXPECT_EQ(link.attr.size, 12U);
  EXPECT_EQ(as_text(ask(FUSE_READLINK, link.nodeid).body), "/usr/bin/env");
  // A hard link to the link is the link, not its target.
  auto second =
      ask(FUSE_LINK, FUSE_ROOT_ID, with(fuse_link_in{.oldnodeid = link.nodeid}, {"m"})).as<fuse_entry_out>();
  EXPECT_EQ(second.nodeid, link.nodeid);
  // It stays the client's where the client moves it, also after the kernel forgot it.
  auto dir = make_dir("d").as<fuse_entry_out>().nodeid;
  EXPECT_EQ(rename(FUSE_ROOT_ID, "l", dir, "l").error, 0);
  send(make_request(FUSE_FORGET, link.nodeid, with(fuse_forget_in{.nlookup = 2})));
  EXPECT_EQ(as_text(ask(FUSE_READLINK, node_of("l", dir)).body), "/usr/bin/env");
}

TEST_F(ShareTest, ListsDirectoriesInPieces) {
  for (int i = 0; i < 300; ++i) write_text(root / ("file-" + std::to_string(i)), "");
  for (bool plus : {false, true}) {
    auto names = list(FUSE_ROOT_ID, plus, 1024);
    EXPECT_EQ(names.size(), 302U);
    EXPECT_THAT(names, Contains("."));
    EXPECT_THAT(names, Contains(".."));
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 302U);
  }
  EXPECT_EQ(server_->stats().inodes, 301U);
  EXPECT_EQ(server_->stats().handles, 0U);
}

TEST_F(ShareTest, ADirectoryThatIsListedHoldsNoMemory) {
  constexpr std::size_t kOpen = 64;
  for (int i = 0; i < 400; ++i) write_text(root / (std::string(40, 'x') + std::to_string(i)), "");
  auto before = ::mallinfo2().uordblks;
  for (std::size_t i = 0; i < kOpen; ++i) {
    auto handle = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
    auto all = ask(FUSE_READDIR, FUSE_ROOT_ID, with(fuse_read_in{.fh = handle, .size = 1U << 17}));
    EXPECT_GT(all.body.size(), 400 * 64U);
  }
  // Not the difference: a thread of an earlier test may have given memory back meanwhile.
  EXPECT_LT(::mallinfo2().uordblks, before + kOpen * 8192);
}

TEST_F(ShareTest, ListsOnWhileEntriesVanish) {
  for (int i = 0; i < 500; ++i) write_text(root / ("file-" + std::to_string(i)), "");
  auto handle = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
  std::uint64_t offset = 0;
  int seen = 0;
  for (;;) {
    auto part =
        ask(FUSE_READDIR, FUSE_ROOT_ID, with(fuse_read_in{.fh = handle, .offset = offset, .size = 512}));
    if (part.body.empty()) break;
    for (std::size_t at = 0; at < part.body.size();) {
      auto head = fuse::load<fuse_dirent>(part.body, at);
      std::string name(as_text(ByteView(part.body).subspan(at + FUSE_NAME_OFFSET, head.namelen)));
      if (name != "." && name != "..")
        seen += ask(FUSE_UNLINK, FUSE_ROOT_ID, name_bytes(name)).error == 0 ? 1 : 0;
      offset = head.off;
      at += FUSE_REC_ALIGN(FUSE_NAME_OFFSET + head.namelen);
    }
  }
  EXPECT_EQ(seen, 500);
}

TEST_F(ShareTest, SeeksAllocatesAndCopies) {
  write_text(root / "a", std::string(8192, 'x'));
  write_text(root / "b", "");
  auto a = node_of("a");
  auto b = node_of("b");
  auto from = open(a, O_RDWR);
  auto to = open(b, O_RDWR);
  fuse_copy_file_range_in copy{
      .fh_in = from, .off_in = 0, .nodeid_out = b, .fh_out = to, .off_out = 0, .len = 5000};
  EXPECT_EQ(ask(FUSE_COPY_FILE_RANGE, a, with(copy)).as<fuse_write_out>().size, 5000U);
  fuse_fallocate_in hole{
      .fh = from, .offset = 0, .length = 4096, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
  EXPECT_EQ(ask(FUSE_FALLOCATE, a, with(hole)).error, 0);
  EXPECT_EQ(ask(FUSE_LSEEK, a, with(fuse_lseek_in{.fh = from, .offset = 0, .whence = SEEK_DATA}))
                .as<fuse_lseek_out>()
                .offset,
            4096U);
  EXPECT_EQ(read_text(root / "b"), std::string(5000, 'x'));
}

TEST_F(ShareTest, KeepsUserAttributesOnly) {
  write_text(root / "a", "");
  if (::setxattr((root / "a").c_str(), "user.probe", "1", 1, 0) != 0)
    GTEST_SKIP() << "no user.* attributes on this file system";
  auto node = node_of("a");
  auto set = [&](std::string_view name) {
    std::uint32_t head[2] = {5, 0};
    auto body = with(head, {name});
    append(body, as_bytes("value"));
    return ask(FUSE_SETXATTR, node, body).error;
  };
  EXPECT_EQ(set("user.k"), 0);
  EXPECT_EQ(set("security.capability"), ENOTSUP);
  EXPECT_EQ(set("trusted.x"), ENOTSUP);
  EXPECT_EQ(set("system.posix_acl_access"), ENOTSUP);
  EXPECT_EQ(as_text(ask(FUSE_GETXATTR, node, with(fuse_getxattr_in{.size = 64}, {"user.k"})).body), "value");
  EXPECT_EQ(
      ask(FUSE_GETXATTR, node, with(fuse_getxattr_in{.size = 0}, {"user.k"})).as<fuse_getxattr_out>().size,
      5U);
  EXPECT_EQ(ask(FUSE_GETXATTR, node, with(fuse_getxattr_in{.size = 2}, {"user.k"})).error, ERANGE);
  auto names = ask(FUSE_LISTXATTR, node, with(fuse_getxattr_in{.size = 4096}));
  EXPECT_THAT(std::string(as_text(names.body)), testing::HasSubstr(std::string("user.k\0", 7)));
  EXPECT_EQ(ask(FUSE_REMOVEXATTR, node, name_bytes("user.k")).error, 0);
  EXPECT_EQ(ask(FUSE_REMOVEXATTR, node, name_bytes("user.k")).error, ENODATA);
}

TEST_F(ShareTest, AnswersWhatItDoesNotServeWithEnosys) {
  for (std::uint32_t opcode : {FUSE_ACCESS, FUSE_POLL, FUSE_IOCTL, FUSE_BMAP, FUSE_SETLKW, FUSE_INTERRUPT,
                               FUSE_SETUPMAPPING, FUSE_INIT}) {
    EXPECT_EQ(ask(opcode, FUSE_ROOT_ID, Bytes(24)).error, ENOSYS) << opcode;
  }
  EXPECT_EQ(ask(9999, FUSE_ROOT_ID).error, ENOSYS);
}

TEST_F(ShareTest, StopsAtItsLimits) {
  stop();
  start({.max_inodes = 3, .max_handles = 2});
  for (auto name : {"a", "b", "c"}) write_text(root / name, "");
  auto a = node_of("a");
  node_of("b");
  EXPECT_EQ(lookup("c").error, ENFILE);
  EXPECT_EQ(list(FUSE_ROOT_ID, true).size(), 5U);  // listed all the same, without a node
  open(a, O_RDONLY);
  open(a, O_RDONLY);
  EXPECT_EQ(ask(FUSE_OPEN, a, with(fuse_open_in{})).error, ENFILE);
  EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(fuse_create_in{.flags = O_WRONLY}, {"a"})).error, ENFILE);
  EXPECT_TRUE(std::filesystem::exists(root / "a"));
  EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(fuse_create_in{.flags = O_WRONLY}, {"new"})).error, ENFILE);
  EXPECT_FALSE(std::filesystem::exists(root / "new"));  // what failed left nothing behind
  EXPECT_EQ(server_->stats().inodes, 3U);
}

TEST_F(ShareTest, OpenDirectoriesHaveALimitOfTheirOwn) {
  stop();
  start({.max_handles = 4, .max_directories = 2});
  write_text(root / "a", "");
  auto open_root = [&] { return ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})); };
  auto first = open_root().as<fuse_open_out>().fh;
  EXPECT_EQ(open_root().error, 0);
  EXPECT_EQ(open_root().error, ENFILE);
  open(node_of("a"), O_RDONLY);
  EXPECT_EQ(ask(FUSE_RELEASEDIR, FUSE_ROOT_ID, with(fuse_release_in{.fh = first})).error, 0);
  EXPECT_EQ(open_root().error, 0);
}

TEST_F(ShareTest, HasNobodyToTellWithoutANotifier) {
  EXPECT_TRUE(server_->invalidate_changed().has_value());
}

}  // namespace
}  // namespace cloister::share
