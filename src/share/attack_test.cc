// What a hostile client, and a hostile job in the same directory, try against the server.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include "fuse/limits.h"
#include "fuse/wire.h"
#include "share/limits.h"
#include "share/test_client.h"

namespace cloister::share {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::UnorderedElementsAre;

class AttackTest : public ShareTest {
 protected:
  // A secret beside the share, as the decrypted application was beside the folder of the system this one
  // replaces.
  void SetUp() override {
    ShareTest::SetUp();
    write_text(outside / "secret", "plaintext");
  }
  TemporaryDirectory outside;
};

TEST_F(AttackTest, NamesAreOneComponent) {
  std::filesystem::create_directory(root / "d");
  auto up = "../" + std::filesystem::path(outside.path()).filename().string();
  for (std::string name : {std::string(".."), std::string("."), std::string(""), up, outside / "secret",
                           std::string("d/../.."), std::string("d/"), std::string("/etc/passwd")}) {
    EXPECT_EQ(lookup(name).error, EINVAL) << name;
    EXPECT_EQ(ask(FUSE_UNLINK, FUSE_ROOT_ID, name_bytes(name)).error, EINVAL) << name;
    EXPECT_EQ(make_dir(name).error, EINVAL) << name;
    EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(fuse_create_in{.flags = O_RDWR}, {name})).error, EINVAL)
        << name;
    EXPECT_EQ(rename(FUSE_ROOT_ID, "d", FUSE_ROOT_ID, name).error, EINVAL) << name;
    EXPECT_EQ(make_link(name, "x").error, EINVAL) << name;
  }
  EXPECT_EQ(lookup(std::string(256, 'n')).error, ENAMETOOLONG);
  EXPECT_EQ(lookup(std::string(255, 'n')).error, ENOENT);
  EXPECT_EQ(read_text(outside / "secret"), "plaintext");
}

TEST_F(AttackTest, ABogusNodeIsStale) {
  for (std::uint64_t node : {0ULL, 2ULL, 77ULL, ~0ULL}) {
    EXPECT_EQ(lookup("x", node).error, ESTALE);
    EXPECT_EQ(ask(FUSE_GETATTR, node, with(fuse_getattr_in{})).error, ESTALE);
    EXPECT_EQ(ask(FUSE_OPEN, node, with(fuse_open_in{})).error, ESTALE);
    EXPECT_EQ(rename(FUSE_ROOT_ID, "a", node, "b").error, ESTALE);
  }
}

TEST_F(AttackTest, AHandleIsOfItsKindAndNode) {
  write_text(root / "a", "aaaa");
  write_text(root / "b", "bbbb");
  std::filesystem::create_directory(root / "d");
  auto a = node_of("a");
  auto b = node_of("b");
  auto d = node_of("d");
  auto file = open(a, O_RDWR);
  auto directory = ask(FUSE_OPENDIR, d, with(fuse_open_in{})).as<fuse_open_out>().fh;
  EXPECT_EQ(read(d, directory, 0, 10).error, EBADF);
  EXPECT_EQ(ask(FUSE_READDIR, a, with(fuse_read_in{.fh = file, .size = 100})).error, EBADF);
  EXPECT_EQ(read(b, file, 0, 10).error, EBADF);
  EXPECT_EQ(write(b, file, 0, "x").error, EBADF);
  EXPECT_EQ(read(a, 999, 0, 10).error, EBADF);
  EXPECT_EQ(ask(FUSE_RELEASEDIR, a, with(fuse_release_in{.fh = file})).error, EBADF);
  EXPECT_EQ(ask(FUSE_RELEASE, b, with(fuse_release_in{.fh = file})).error, EBADF);
  EXPECT_EQ(ask(FUSE_OPEN, d, with(fuse_open_in{})).error, EISDIR);
  EXPECT_EQ(ask(FUSE_OPENDIR, a, with(fuse_open_in{})).error, ENOTDIR);
  EXPECT_EQ(lookup("x", a).error, ENOTDIR);
  auto read_only = open(a, O_RDONLY);
  EXPECT_EQ(write(a, read_only, 0, "x").error, EBADF);
}

TEST_F(AttackTest, SizesAndOffsetsAreBounded) {
  write_text(root / "a", "aaaa");
  auto a = node_of("a");
  auto handle = open(a, O_RDWR);
  EXPECT_EQ(read(a, handle, 0, fuse::kMaxWrite + 1).error, EINVAL);
  EXPECT_EQ(read(a, handle, 0, ~0U).error, EINVAL);
  EXPECT_EQ(read(a, handle, ~0ULL, 10).error, EINVAL);
  EXPECT_EQ(write(a, handle, ~0ULL - 1, "x").error, EINVAL);
  EXPECT_EQ(ask(FUSE_SETATTR, a, with(fuse_setattr_in{.valid = FATTR_SIZE, .size = ~0ULL})).error, EINVAL);
  EXPECT_EQ(ask(FUSE_LSEEK, a, with(fuse_lseek_in{.fh = handle, .offset = 0, .whence = SEEK_CUR})).error,
            EINVAL);
  EXPECT_EQ(ask(FUSE_FALLOCATE, a, with(fuse_fallocate_in{.fh = handle, .length = ~0ULL})).error, EINVAL);
  EXPECT_EQ(ask(FUSE_FALLOCATE, a, with(fuse_fallocate_in{.fh = handle, .length = 1, .mode = 0x40})).error,
            EOPNOTSUPP);
  EXPECT_EQ(ask(FUSE_SETATTR, a, with(fuse_setattr_in{.valid = FATTR_MTIME, .mtimensec = UTIME_OMIT})).error,
            EINVAL);
  EXPECT_EQ(ask(FUSE_OPEN, a, with(fuse_open_in{.flags = O_ACCMODE})).error, EINVAL);
  auto root_directory = ask(FUSE_OPENDIR, FUSE_ROOT_ID, with(fuse_open_in{})).as<fuse_open_out>().fh;
  EXPECT_NE(
      ask(FUSE_READDIR, FUSE_ROOT_ID, with(fuse_read_in{.fh = root_directory, .offset = ~0ULL, .size = 100}))
          .error,
      0);
}

TEST_F(AttackTest, ForgettingTooMuchHarmsNobody) {
  write_text(root / "a", "aaaa");
  auto a = node_of("a");
  auto handle = open(a, O_RDONLY);
  send(make_request(FUSE_FORGET, a, with(fuse_forget_in{.nlookup = ~0ULL})));
  send(make_request(FUSE_FORGET, FUSE_ROOT_ID, with(fuse_forget_in{.nlookup = ~0ULL})));
  send(make_request(FUSE_FORGET, 12345, with(fuse_forget_in{.nlookup = 1})));
  EXPECT_EQ(ask(FUSE_GETATTR, FUSE_ROOT_ID, with(fuse_getattr_in{})).error, 0);
  EXPECT_EQ(as_text(read(a, handle, 0, 4).body), "aaaa");
}

TEST_F(AttackTest, BrokenFramesCloseTheLane) {
  auto request = make_request(FUSE_GETATTR, FUSE_ROOT_ID, with(fuse_getattr_in{}));
  auto with_length = [&](std::uint32_t length) {
    auto out = request;
    fuse::store(out, length);
    return out;
  };
  EXPECT_TRUE(closes_on(with_length(39)));
  stop();
  start({});
  EXPECT_TRUE(closes_on(with_length(fuse::kMaxMessage + 1)));
  stop();
  start({});
  auto extended = request;
  fuse::store(extended, std::uint16_t{1}, offsetof(fuse_in_header, total_extlen));
  EXPECT_TRUE(closes_on(extended));
  EXPECT_EQ(server_->stats().malformed, 1U);
}

TEST_F(AttackTest, NoDevicesAreMade) {
  for (mode_t type : {S_IFCHR, S_IFBLK}) {
    EXPECT_EQ(
        ask(FUSE_MKNOD, FUSE_ROOT_ID, with(fuse_mknod_in{.mode = type | 0666U, .rdev = 0x103}, {"n"})).error,
        EPERM);
  }
  EXPECT_EQ(ask(FUSE_MKNOD, FUSE_ROOT_ID, with(fuse_mknod_in{.mode = S_IFREG | 0666U}, {"n"})).error, 0);
}

TEST_F(AttackTest, SetuidAndSetgidAreStripped) {
  auto made = ask(FUSE_CREATE, FUSE_ROOT_ID, with(fuse_create_in{.flags = O_RDWR, .mode = 06755}, {"a"}))
                  .as<fuse_entry_out>();
  make_dir("d", 06755);
  ask(FUSE_MKNOD, FUSE_ROOT_ID, with(fuse_mknod_in{.mode = S_IFREG | 06755U}, {"n"}));
  EXPECT_EQ(ask(FUSE_SETATTR, made.nodeid, with(fuse_setattr_in{.valid = FATTR_MODE, .mode = 06755})).error,
            0);
  for (auto name : {"a", "d", "n"}) {
    struct stat info{};
    ASSERT_EQ(::stat((root / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0755U) << name;
  }
  // And what a job sets is not shown.
  ASSERT_EQ(::chmod((root / "n").c_str(), 06755), 0);
  EXPECT_EQ(lookup("n").as<fuse_entry_out>().attr.mode, S_IFREG | 0755U);
}

TEST_F(AttackTest, APlantedLinkToADirectoryIsNeverWalked) {
  std::filesystem::create_directory_symlink(outside.path(), root / "d");
  EXPECT_EQ(lookup("d").error, ENOENT);
  // A directory that the client holds, swapped for a link by a job: the handle stays the directory's.
  std::filesystem::create_directory(root / "e");
  write_text(root / "e/inner", "mine");
  auto e = node_of("e");
  std::filesystem::rename(root / "e", root / "moved");
  std::filesystem::create_directory_symlink(outside.path(), root / "e");
  EXPECT_EQ(lookup("secret", e).error, ENOENT);
  EXPECT_EQ(lookup("inner", e).error, 0);
  EXPECT_EQ(lookup("e").error, ENOENT);
}

TEST_F(AttackTest, APlantedLinkToAFileIsNeverOpened) {
  std::filesystem::create_symlink(outside / "secret", root / "s");
  fuse_create_in create{.flags = O_RDWR | O_CREAT | O_TRUNC, .mode = 0644};
  EXPECT_EQ(ask(FUSE_CREATE, FUSE_ROOT_ID, with(create, {"s"})).error, EEXIST);
  // A file that the client knows, swapped for a link: opening it opens the file it knew.
  write_text(root / "a", "mine");
  auto a = node_of("a");
  ::rename((root / "a").c_str(), (root / "b").c_str());
  std::filesystem::create_symlink(outside / "secret", root / "a");
  auto handle = open(a, O_RDWR | O_TRUNC);
  EXPECT_EQ(write(a, handle, 0, "overwritten").error, 0);
  fuse_setattr_in chmod_in{.valid = FATTR_MODE, .mode = 0600};
  EXPECT_EQ(ask(FUSE_SETATTR, a, with(chmod_in)).error, 0);
  EXPECT_EQ(read_text(outside / "secret"), "plaintext");
  EXPECT_EQ(read_text(root / "b"), "overwritten");
  // The client's own link is a link to the server too, never a way.
  auto own = make_link("own", outside / "secret").as<fuse_entry_out>().nodeid;
  EXPECT_EQ(ask(FUSE_OPEN, own, with(fuse_open_in{})).error, ELOOP);
  EXPECT_EQ(ask(FUSE_SETATTR, own, with(chmod_in)).error, EOPNOTSUPP);
  EXPECT_EQ(ask(FUSE_SETATTR, own, with(fuse_setattr_in{.valid = FATTR_SIZE})).error, EINVAL);
  EXPECT_EQ(lookup("secret", own).error, ENOTDIR);
}

TEST_F(AttackTest, AJobsLinksShowOnlyIfTheyStayInside) {
  std::filesystem::create_directories(root / "a/b");
  auto plant = [&](const std::string& at, const std::string& target) {
    ASSERT_EQ(::symlink(target.c_str(), (root / at).c_str()), 0);
  };
  plant("a/b/up", "../../file");
  plant("a/b/far", "../../../etc/passwd");
  plant("a/b/absolute", "/etc/passwd");
  plant("a/b/winding", "x/../../../..");
  plant("a/b/plain", "file");
  auto a = node_of("a");
  auto b = node_of("b", a);
  EXPECT_EQ(as_text(ask(FUSE_READLINK, node_of("up", b)).body), "../../file");
  EXPECT_EQ(as_text(ask(FUSE_READLINK, node_of("plain", b)).body), "file");
  for (auto name : {"far", "absolute", "winding"}) EXPECT_EQ(lookup(name, b).error, ENOENT) << name;
  for (bool plus : {false, true}) EXPECT_THAT(list(b, plus), UnorderedElementsAre(".", "..", "up", "plain"));
}

TEST_F(AttackTest, AJobThatMovesALinkUpwardsLosesIt) {
  std::filesystem::create_directories(root / "a/b");
  ASSERT_EQ(::symlink("../../etc", (root / "a/b/l").c_str()), 0);
  auto link = node_of("l", node_of("b", node_of("a")));
  EXPECT_EQ(ask(FUSE_READLINK, link).error, 0);
  std::filesystem::rename(root / "a/b", root / "b");
  EXPECT_EQ(ask(FUSE_READLINK, link).error, EPERM);
  EXPECT_EQ(lookup("l", node_of("b")).error, ENOENT);
  // And once invalidation has taken back the name by which the client knew it.
  EXPECT_TRUE(server_->invalidate_changed().has_value());
  EXPECT_EQ(ask(FUSE_READLINK, link).error, EPERM);
}

// The client's kernel climbs from where it has the directory, not from where a job has moved it since.
TEST_F(AttackTest, AJobThatMovesADirectoryDownwardsGainsNoClimb) {
  std::filesystem::create_directories(root / "output/c");
  std::filesystem::create_directories(root / "output/x/1/2/3");
  auto c = node_of("c", node_of("output"));
  std::filesystem::rename(root / "output/c", root / "output/x/1/2/3/c");
  ASSERT_EQ(::symlink("../../../../etc/passwd", (root / "output/x/1/2/3/c/far").c_str()), 0);
  ASSERT_EQ(::symlink("../../near", (root / "output/x/1/2/3/c/near").c_str()), 0);
  EXPECT_EQ(lookup("far", c).error, ENOENT);
  EXPECT_EQ(lookup("near", c).error, 0);
  // Told where it is now, the client may still stand where it was.
  auto there = node_of("c", node_of("3", node_of("2", node_of("1", node_of("x", node_of("output"))))));
  EXPECT_EQ(there, c);
  EXPECT_EQ(lookup("far", c).error, ENOENT);
  // What is moved below a directory that was higher before climbs no further either.
  std::filesystem::create_directories(root / "output/x/1/2/3/c/d/e");
  ASSERT_EQ(::symlink("../../../../../f", (root / "output/x/1/2/3/c/d/e/l").c_str()), 0);
  EXPECT_EQ(lookup("l", node_of("e", node_of("d", c))).error, ENOENT);
}

TEST_F(AttackTest, AJobThatMovesADirectoryUpwardsTakesTheClientsLinksAlong) {
  auto a = make_dir("a").as<fuse_entry_out>().nodeid;
  auto b = ask(FUSE_MKDIR, a, with(fuse_mkdir_in{.mode = 0755}, {"b"})).as<fuse_entry_out>().nodeid;
  EXPECT_EQ(make_link("inside", "../../f", b).error, 0);
  EXPECT_EQ(make_link("outside", "../../../f", b).error, 0);
  auto inside = node_of("inside", b);
  EXPECT_EQ(ask(FUSE_READLINK, inside).error, 0);
  std::filesystem::rename(root / "a/b", root / "b");
  EXPECT_EQ(ask(FUSE_READLINK, inside).error, EPERM);
  b = node_of("b");
  EXPECT_EQ(lookup("inside", b).error, ENOENT);
  EXPECT_EQ(lookup("outside", b).error, 0);  // out of the share, as the client wants it
}

TEST_F(AttackTest, WhileAJobRunsNoLinkOfAJobClimbs) {
  std::filesystem::create_directory(root / "d");
  ASSERT_EQ(::symlink("../f", (root / "d/climbs").c_str()), 0);
  ASSERT_EQ(::symlink("f", (root / "d/stays").c_str()), 0);
  auto d = node_of("d");
  auto climbs = node_of("climbs", d);
  make_link("mine", "../f", d);
  server_->know({.jobs_since = 1});
  EXPECT_EQ(ask(FUSE_READLINK, climbs).error, EPERM);
  EXPECT_THAT(list(d, false), UnorderedElementsAre(".", "..", "stays", "mine"));
  server_->know({});
  EXPECT_EQ(ask(FUSE_READLINK, climbs).error, 0);
}

TEST_F(AttackTest, AJobCannotBorrowTheClientsTrustInALink) {
  std::filesystem::create_directory(root / "d");
  make_link("l", "/etc/passwd");
  // Moved by a job: no longer where the client put it.
  ASSERT_EQ(::rename((root / "l").c_str(), (root / "d/l").c_str()), 0);
  EXPECT_EQ(lookup("l", node_of("d")).error, ENOENT);
  // Another link of the same name.
  ASSERT_EQ(::symlink("/etc/shadow", (root / "l").c_str()), 0);
  EXPECT_EQ(lookup("l").error, ENOENT);
}

TEST_F(AttackTest, FifosAndSocketsAreServedOnlyIfTheClientMadeThem) {
  for (auto [name, type] : {std::pair{"fifo", S_IFIFO}, {"socket", S_IFSOCK}}) {
    ASSERT_EQ(ask(FUSE_MKNOD, FUSE_ROOT_ID, with(fuse_mknod_in{.mode = type | 06644U}, {name})).error, 0);
    auto seen = lookup(name).as<fuse_entry_out>();
    EXPECT_EQ(seen.attr.mode, type | 0644U);
    EXPECT_EQ(ask(FUSE_OPEN, seen.nodeid, with(fuse_open_in{.flags = O_RDONLY})).error, ENXIO);
    EXPECT_EQ(ask(FUSE_GETXATTR, seen.nodeid, with(fuse_getxattr_in{}, {"user.a"})).error, ENODATA);
  }
  EXPECT_THAT(list(FUSE_ROOT_ID, false), UnorderedElementsAre(".", "..", "fifo", "socket"));
  // A job that moves it, or puts its own in that place, loses it.
  std::filesystem::create_directory(root / "d");
  std::filesystem::rename(root / "fifo", root / "d/fifo");
  ASSERT_EQ(::mkfifo((root / "fifo").c_str(), 0666), 0);
  EXPECT_EQ(lookup("fifo").error, ENOENT);
  EXPECT_EQ(lookup("fifo", node_of("d")).error, ENOENT);
}

TEST_F(AttackTest, FifosSocketsAndDevicesDoNotAppear) {
  std::filesystem::create_directory(root / "d");
  ASSERT_EQ(::mkfifo((root / "d/fifo").c_str(), 0666), 0);
  ASSERT_EQ(::mknod((root / "d/socket").c_str(), S_IFSOCK | 0666, 0), 0);
  ASSERT_EQ(::symlink("/etc", (root / "d/link").c_str()), 0);
  auto d = node_of("d");
  for (auto name : {"fifo", "socket", "link"}) EXPECT_EQ(lookup(name, d).error, ENOENT);
  for (bool plus : {false, true}) EXPECT_THAT(list(d, plus), UnorderedElementsAre(".", ".."));
  EXPECT_EQ(ask(FUSE_CREATE, d, with(fuse_create_in{.flags = O_RDONLY}, {"fifo"})).error, EEXIST);
  // What looks empty can be removed; what does not, cannot, and loses nothing.
  write_text(root / "d/file", "");
  EXPECT_EQ(ask(FUSE_RMDIR, FUSE_ROOT_ID, name_bytes("d")).error, ENOTEMPTY);
  EXPECT_TRUE(std::filesystem::exists(root / "d/fifo"));
  std::filesystem::remove(root / "d/file");
  EXPECT_EQ(ask(FUSE_RMDIR, FUSE_ROOT_ID, name_bytes("d")).error, 0);
  EXPECT_FALSE(std::filesystem::exists(root / "d"));
}

TEST_F(AttackTest, ALinkOfTooManyNamesIsNotServedUnderOneMore) {
  ASSERT_EQ(::symlink("file", (root / "l0").c_str()), 0);
  for (std::size_t i = 1; i <= kMaxNamesPerInode; ++i) {
    ASSERT_EQ(::link((root / "l0").c_str(), (root / ("l" + std::to_string(i))).c_str()), 0);
  }
  for (std::size_t i = 0; i < kMaxNamesPerInode; ++i) EXPECT_EQ(lookup("l" + std::to_string(i)).error, 0);
  EXPECT_EQ(lookup("l" + std::to_string(kMaxNamesPerInode)).error, ENOENT);
}

}  // namespace
}  // namespace cloister::share
