// End to end: a server, a pump, and this machine's kernel between them. Whatever touches the mount does so in
// a child process with a time limit: this process serves it, and must never wait for itself.
#include "share/mount.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <future>

#include "fuse/limits.h"
#include "fuse/wire.h"
#include "share/pump.h"
#include "share/test_client.h"
#include "share/test_mount.h"

namespace cloister::share {
namespace {

using namespace std::chrono_literals;

constexpr int kLanes = 3;

// A mount with its far end in this process.
class Folder {
 public:
  Folder(const std::string& backing, const std::string& mountpoint, PumpOptions options,
         MountOptions mounting = {}) {
    auto server = Server::create(sys::Dir::open(backing).value());
    EXPECT_TRUE(server.has_value());
    server_ = std::move(*server);
    for (int i = 0; i < kLanes; ++i) {
      auto pair = sys::make_socket_pair(SOCK_STREAM).value();
      lanes_.requests.push_back(std::make_unique<sys::FdStream>(std::move(pair.first)));
      far_.push_back(pair.second.duplicate().value());
      serving_.emplace_back([this, fd = pair.second.release()] { server_->serve_lane(sys::Fd(fd)); });
    }
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    lanes_.notifications = std::make_unique<sys::FdStream>(std::move(pair.first));
    far_.push_back(pair.second.duplicate().value());
    server_->set_notifier(std::move(pair.second));
    options.reply_timeout = 20s;
    auto mount = Mount::mount(mountpoint, mounting);
    if (!mount) {
      ADD_FAILURE() << mount.error().message();
      cut();
      return;
    }
    mount_ = std::make_unique<Mount>(std::move(*mount));
    outcome_ =
        std::async(std::launch::async, [this, options] { return pump(*mount_, std::move(lanes_), options); });
  }
  ~Folder() {
    if (mount_ != nullptr) static_cast<void>(mount_->unmount().has_value());
    if (outcome_.valid() && outcome_.wait_for(5s) != std::future_status::ready) cut();
    if (outcome_.valid()) outcome_.wait();
    cut();
    for (auto& thread : serving_) thread.join();
  }
  void cut() {
    for (auto& fd : far_) ::shutdown(fd.get(), SHUT_RDWR);
  }
  bool mounted() const { return mount_ != nullptr; }
  Server& server() { return *server_; }
  Mount& mount() { return *mount_; }
  Status outcome() { return outcome_.get(); }

 private:
  std::unique_ptr<Server> server_;
  std::unique_ptr<Mount> mount_;
  Lanes lanes_;
  std::vector<sys::Fd> far_;
  std::vector<std::thread> serving_;
  std::future<Status> outcome_;
};

class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (auto reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
  }
  void TearDown() override {
    folder_.reset();
    ::umount2(at.path().c_str(), MNT_DETACH);  // whatever a failed test left
  }
  void start(PumpOptions options = {}) {
    folder_ = std::make_unique<Folder>(backing.path(), at.path(), options);
    ASSERT_TRUE(folder_->mounted());
  }
  int shell(const std::string& script) { return run_in(at.path(), script); }

  TemporaryDirectory backing;
  TemporaryDirectory at;
  TemporaryDirectory other;
  std::unique_ptr<Folder> folder_;
};

TEST_F(MountTest, EverydayToolsWork) {
  start();
  std::string source = other.path();
  ASSERT_EQ(run_in(source, R"sh(mkdir -p tree/a/b; for i in $(seq 200); do echo line $i > tree/a/$i; done
      head -c 3000000 /dev/urandom > tree/a/b/big; ln -s ../1 tree/a/b/link; ln tree/a/1 tree/a/hard; touch -d 2001-02-03T04:05:06 tree/a/2; chmod 750 tree/a)sh"),
            0);
  EXPECT_EQ(shell("cp -a " + source + "/tree copied && diff -r " + source + "/tree copied"), 0);
  EXPECT_EQ(shell("test $(stat -c %Y copied/a/2) = $(stat -c %Y " + source +
                  "/tree/a/2); test $(stat -c %a copied/a) = 750; test $(stat -c %h copied/a/1) = 2; "
                  "readlink copied/a/b/link | grep -qx ../1; test -e copied/a/b/link"),
            0);
  EXPECT_EQ(shell("ls -lR > /dev/null; test $(find copied -type f | wc -l) = 202; du -s copied > /dev/null; "
                  "df . > /dev/null"),
            0);
  EXPECT_EQ(shell("mv copied moved; mv moved/a/3 moved/three; test ! -e copied; cat moved/three > /dev/null; "
                  "rm -r moved; test -z \"$(ls -A)\""),
            0);
  EXPECT_EQ(
      shell("touch -d 1999-01-01 f; truncate -s 100000 f; test $(stat -c %s f) = 100000; dd if=/dev/zero "
            "of=f bs=4k count=3 seek=5 conv=notrunc status=none; test $(stat -c %s f) = 100000"),
      0);
  EXPECT_EQ(shell("truncate -s 1G sparse; test $(du -k sparse | cut -f1) = 0; dd if=/dev/zero of=sparse bs=1 "
                  "count=1 seek=2G status=none; test $(stat -c %s sparse) = 2147483649"),
            0);
  EXPECT_TRUE(std::filesystem::exists(backing / "sparse"));
  if (!have("rsync")) return;
  EXPECT_EQ(shell("rsync -a " + source + "/tree/ synced/ && test -z \"$(rsync -ain " + source +
                  "/tree/ synced/)\""),
            0);
}

TEST_F(MountTest, DataComesBackAsItWent) {
  start();
  ASSERT_EQ(run_in(other.path(), "head -c 10000000 /dev/urandom > data"), 0);
  EXPECT_EQ(shell("cp " + other.path() + "/data a; cmp a " + other.path() +
                  "/data; dd if=a of=b bs=1234567 status=none; cmp a b; dd if=a of=c bs=1M oflag=direct "
                  "iflag=direct status=none || cp a c; cmp a c"),
            0);
  EXPECT_EQ(run_in(backing.path(), "cmp a " + (other / "data") + " && cmp c " + (other / "data")), 0);
}

TEST_F(MountTest, DatabasesAndRepositoriesWork) {
  if (!have("sqlite3") || !have("git")) GTEST_SKIP() << "needs sqlite3 and git";
  start();
  for (std::string mode : {"delete", "truncate", "wal"}) {
    EXPECT_EQ(
        shell(
            "sqlite3 " + mode + ".db 'pragma journal_mode=" + mode +
            R"sh(; create table t(x); begin; insert into t values(1),(2),(3); commit; insert into t select x+3 from t;' > /dev/null
      test $(sqlite3 )sh" +
            mode + ".db 'select sum(x) from t') = 21; test $(sqlite3 " + mode +
            ".db 'pragma integrity_check') = ok"),
        0)
        << mode;
  }
  EXPECT_EQ(
      shell(
          R"sh(export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
    git init -q r; cd r; for i in $(seq 50); do echo $i > f$i; done; git add -A; git commit -qm one; git fsck --strict; cd ..
    git clone -q r s; cd s; git mv f1 g1; git commit -qam two; git gc -q; test -z "$(git status --porcelain)"; cd ../r; git fetch -q ../s)sh"),
      0);
}

TEST_F(MountTest, OpenFilesBehaveAsPosixSays) {
  if (!have("python3")) GTEST_SKIP() << "needs python3";
  start();
  EXPECT_EQ(shell(R"sh(cat > check.py <<'END'
import mmap, os, errno, fcntl, socket, stat, subprocess, sys
fd = os.open("m", os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 70000)
m = mmap.mmap(fd, 70000); m[100:105] = b"hello"; m[69990:69993] = b"end"; m.flush(); m.close(); os.close(fd)
d = open("m", "rb").read(); assert d[100:105] == b"hello" and d[69990:69993] == b"end"
a = os.open("ap", os.O_WRONLY | os.O_CREAT | os.O_APPEND); b = os.open("ap", os.O_WRONLY | os.O_APPEND)
for i in range(20): os.write(a, b"A"); os.write(b, b"B")
assert open("ap", "rb").read() == b"AB" * 20
open("old", "w").write("old"); open("new", "w").write("new"); f = open("old"); os.rename("new", "old")
assert f.read() == "old" and open("old").read() == "new"
fd = os.open("u", os.O_RDWR | os.O_CREAT); os.write(fd, b"data"); os.unlink("u"); assert os.fstat(fd).st_nlink == 0
os.ftruncate(fd, 2); assert os.pread(fd, 9, 0) == b"da" and not [n for n in os.listdir(".") if n.startswith(".fuse")]
assert open("/proc/self/fd/%d" % fd, "rb").read() == b"da"; os.close(fd)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600); os.write(fd, b"tmp")
os.link("/proc/self/fd/%d" % fd, "linked", src_dir_fd=fd); assert open("linked").read() == "tmp"
os.mkfifo("pipe"); r = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK); w = os.open("pipe", os.O_WRONLY)
os.write(w, b"through"); assert os.read(r, 9) == b"through" and stat.S_ISFIFO(os.lstat("pipe").st_mode)
s = socket.socket(socket.AF_UNIX); s.bind("socket"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect("socket")
assert {"pipe", "socket"} <= set(os.listdir("."))
try: os.mknod("device", 0o20666, os.makedev(1, 3)); assert False
except PermissionError: pass
open("l", "w"); f = open("l"); fcntl.flock(f, fcntl.LOCK_EX)
code = "import fcntl,sys\ntry: fcntl.flock(open('l'), fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept BlockingIOError: sys.exit(7)"
assert subprocess.run([sys.executable, "-c", code]).returncode == 7
os.close(os.open("n" * 255, os.O_CREAT | os.O_WRONLY))
try: os.stat("n" * 256); assert False
except OSError as e: assert e.errno == errno.ENAMETOOLONG
END
python3 check.py)sh"),
            0);
}

TEST_F(MountTest, AJobsChangesShowAtOnceAfterInvalidation) {
  start();
  write_text(backing / "f", "before");
  write_text(backing / "gone", "x");
  EXPECT_EQ(shell("test $(cat f) = before; cat gone > /dev/null"), 0);
  write_text(backing / "f", "after!");
  std::filesystem::remove(backing / "gone");
  ASSERT_TRUE(folder_->server().invalidate_changed().has_value());
  EXPECT_EQ(shell("test $(cat f) = after!; test ! -e gone"), 0);
  // While a program holds the file open and its pages mapped.
  std::filesystem::create_directory(backing / "d");
  auto holder = std::async(std::launch::async, [this] {
    return shell(
        "exec 3<f; cat <&3 > /dev/null; touch d/ready; for i in $(seq 300); do test -e d/go && break; sleep "
        "0.05; done; test $(cat f) = third!");
  });
  for (int i = 0; i < 200 && !std::filesystem::exists(backing / "d/ready"); ++i)
    std::this_thread::sleep_for(20ms);
  write_text(backing / "f", "third!");
  ASSERT_TRUE(folder_->server().invalidate_changed().has_value());
  write_text(backing / "d/go", "");
  EXPECT_EQ(holder.get(), 0);
}

TEST_F(MountTest, InvalidationDoesNotDeadlockWithWriters) {
  start();
  auto writer = std::async(std::launch::async, [this] {
    return shell(
        "for i in $(seq 150); do head -c 300000 /dev/zero > f$((i % 5)); cat f* > /dev/null; mkdir -p d$((i "
        "% 3)); rm -rf d$((i % 3)); done");
  });
  int rounds = 0;
  while (writer.wait_for(1ms) != std::future_status::ready) {
    EXPECT_TRUE(folder_->server().invalidate_changed().has_value());
    ++rounds;
  }
  EXPECT_EQ(writer.get(), 0);
  EXPECT_GT(rounds, 0);
}

TEST_F(MountTest, EveryFileIsTheMountingUsers) {
  start({.uid = 4321, .gid = 8765});
  EXPECT_EQ(shell("echo x > f; test $(stat -c %u:%g f) = 4321:8765; chown 5:6 f; test $(stat -c %u:%g f) = "
                  "4321:8765; ls -ln | grep -q '4321 *8765'"),
            0);
  struct stat info{};
  ASSERT_EQ(::stat((backing / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
}

TEST_F(MountTest, OwnersAreKeptIfAskedFor) {
  start({.ownership = Ownership::keep});
  EXPECT_EQ(shell("echo x > f; chown 5:6 f; test $(stat -c %u:%g f) = 5:6; chown :7 f; test $(stat -c %u:%g "
                  "f) = 5:7"),
            0);
  struct stat info{};
  ASSERT_EQ(::stat((backing / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 5U);
}

TEST_F(MountTest, TheMountIsInert) {
  start();
  ASSERT_EQ(::symlink("/etc", (backing / "planted").c_str()), 0);
  ASSERT_EQ(::mknod((backing / "device").c_str(), S_IFCHR | 0666, 0x0103), 0);
  EXPECT_EQ(shell("grep \" $PWD \" /proc/self/mountinfo | grep nosuid | grep -q nodev"), 0);
  EXPECT_EQ(shell("test ! -e planted/passwd; test ! -L planted; test ! -e device; test -z \"$(ls)\""), 0);
  EXPECT_EQ(shell("touch f; chmod 6755 f; test $(stat -c %a f) = 755"), 0);
}

TEST_F(MountTest, UnmountingEndsThePump) {
  start();
  EXPECT_EQ(shell("echo x > f"), 0);
  EXPECT_EQ(run_in("/", "umount " + at.path()), 0);
  EXPECT_TRUE(folder_->outcome().has_value());
  EXPECT_TRUE(folder_->mount().unmount().has_value());  // gone already: nothing to do
}

TEST_F(MountTest, WhenTheEnclaveGoesEveryCallFailsAtOnce) {
  start();
  EXPECT_EQ(shell("echo x > f"), 0);
  auto holder = std::async(std::launch::async, [this] {
    return shell("exec 3<f; sleep 1; timeout 10 cat f 2>/dev/null && exit 9; true");
  });
  std::this_thread::sleep_for(300ms);
  folder_->cut();
  auto outcome = folder_->outcome();
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().kind(), ErrorKind::unavailable);
  EXPECT_EQ(holder.get(), 0);
  EXPECT_EQ(run_in("/", "timeout 10 ls " + at.path() + " 2>/dev/null && exit 9; true"), 0);
  EXPECT_TRUE(folder_->mount().unmount().has_value());
  EXPECT_EQ(run_in("/", "test -z \"$(ls " + at.path() + ")\""), 0);
}

// As an ordinary user, through fusermount3: in a process of its own, since ids belong to whole processes.
TEST_F(MountTest, AnOrdinaryUserMountsThroughFusermount) {
  if (!have("fusermount3")) GTEST_SKIP() << "needs fusermount3";
  struct stat device{};
  ASSERT_EQ(::stat("/dev/fuse", &device), 0);
  if ((device.st_mode & 0006) != 0006) GTEST_SKIP() << "/dev/fuse is root's alone here";
  constexpr uid_t kNobody = 65534;
  for (const auto& path : {at.path(), backing.path()}) ASSERT_EQ(::chown(path.c_str(), kNobody, kNobody), 0);
  auto child = sys::fork_child([&] {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0)
      return 3;
    Folder folder(backing.path(), at.path(), {.uid = kNobody, .gid = kNobody});
    if (!folder.mounted()) return 4;
    int code = run_in(at.path(),
                      "echo hello > f; test $(cat f) = hello; test $(stat -c %u f) = 65534; chmod 600 f; "
                      "chmod 444 f; rm -f f");
    if (code != 0) return code;
    return folder.mount().unmount().has_value() && folder.outcome().has_value() ? 0 : 5;
  });
  ASSERT_TRUE(child.has_value());
  EXPECT_EQ(child->wait(sys::Deadline::after(80s)).value().shell_code(), 0);
}

TEST(MountErrors, AreSaidPlainly) {
  EXPECT_FALSE(Mount::mount("/nonexistent/there").has_value());
  auto not_a_directory = Mount::mount("/etc/passwd");
  ASSERT_FALSE(not_a_directory.has_value());
  EXPECT_EQ(not_a_directory.error().kind(), ErrorKind::invalid);
}

}  // namespace
}  // namespace cloister::share
