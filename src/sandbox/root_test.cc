#include "sandbox/root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "sandbox/mount_api.h"
#include "sandbox/namespaces.h"
#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

// Enters the plan's root as real root with all capabilities: what holds here is the mounts' own doing.
int in_root(const RootPlan& plan, const Attack& attack) {
  return outside([&] {
    TempDir place;
    auto root = assemble_root(plan, place.path());
    if (!root) must(std::unexpected(root.error()));
    auto child = sys::fork_child(
        [&] {
          must(enter_root(*root));
          return attack();
        },
        CLONE_NEWNS);
    if (!child) return kHarnessFailed;
    int code = child->wait(sys::Deadline::after(sys::seconds(10)))->shell_code();
    must(discard_root(*root));
    return code;
  });
}

// The error of assembling the plan; nothing may stay mounted after one.
Error refusal(const RootPlan& plan) {
  TempDir place;
  auto pipe = sys::make_pipe();
  int code = outside([&] {
    auto root = assemble_root(plan, place.path());
    if (root) return 1;
    auto kind = static_cast<char>(root.error().kind());
    (void)!::write(pipe->write.get(), &kind, 1);
    return std::filesystem::is_empty(place.path()) ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
  pipe->write.reset();
  char kind = 0;
  EXPECT_EQ(::read(pipe->read.get(), &kind, 1), 1);
  return {static_cast<ErrorKind>(kind), ""};
}

Attack open_path(const std::string& path, int flags) {
  return [=] { return errno_of(::open(path.c_str(), flags, 0600)); };
}

TEST(Root, HoldsWhatThePlanNamesAndNothingElse) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  dir.file("model", "weights");
  auto host_file = dir.file("../cloister-host-secret", "x");
  RootPlan plan;
  plan.mounts = {{.target = "/app/data", .source = dir.path()}};
  plan.files = {{"/etc/hosts", "127.0.0.1 localhost\n"}};
  plan.symlinks = {{"/bin", "usr/bin"}};
  EXPECT_EQ(in_root(plan,
                    [] {
                      std::set<std::string> names;
                      for (const auto& entry : std::filesystem::directory_iterator("/")) {
                        names.insert(entry.path().filename());
                      }
                      if (names != std::set<std::string>{"app", "bin", "dev", "etc", "proc"}) return 1;
                      if (read_text("/app/data/model") != "weights") return 2;
                      if (read_text("/etc/hosts") != "127.0.0.1 localhost\n") return 3;
                      return std::filesystem::read_symlink("/bin") == "usr/bin" ? 0 : 4;
                    }),
            0);
  for (const auto& path : {host_file, std::string("/etc/passwd"), std::string("/usr/bin/true")}) {
    EXPECT_EQ(outside(open_path(path, O_RDONLY)), 0) << path;
    EXPECT_EQ(in_root(plan, open_path(path, O_RDONLY)), ENOENT) << path;
  }
  std::filesystem::remove(host_file);
}

TEST(Root, ReadOnlyHoldsForTheRootAndItsBindsEvenAgainstRoot) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto path = dir.file("file", "whole");
  RootPlan plan;
  plan.mounts = {{.target = "/app", .source = dir.path()},
                 {.target = "/output", .source = dir.path(), .read_only = false}};
  ASSERT_EQ(outside(open_path(path, O_WRONLY)), 0);
  EXPECT_EQ(in_root(plan, open_path("/app/file", O_WRONLY)), EROFS);
  EXPECT_EQ(in_root(plan, open_path("/app/new", O_WRONLY | O_CREAT)), EROFS);
  EXPECT_EQ(in_root(plan, open_path("/new", O_WRONLY | O_CREAT)), EROFS);
  EXPECT_EQ(in_root(plan, [] { return errno_of(::mkdir("/dev/new", 0700)); }), EROFS);
  EXPECT_EQ(in_root(plan, [] { return errno_of(::chmod("/dev/null", 0600)); }), EROFS);
  EXPECT_EQ(in_root(plan, open_path("/output/result", O_WRONLY | O_CREAT)), 0);
  EXPECT_TRUE(std::filesystem::exists(dir.path() + "/result"));
  EXPECT_EQ(read_text(path), "whole");
}

TEST(Root, ReadOnlyReachesMountsBelowTheSource) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto sub = dir.directory("sub");
  EXPECT_EQ(outside([&] {
              auto below = make_tmpfs({.size_bytes = 1 << 16});
              if (!below) return 200;
              must(attach_mount(below->get(), sub));
              RootPlan plan;
              plan.mounts = {{.target = "/app", .source = dir.path()}};
              TempDir place;
              auto root = assemble_root(plan, place.path());
              if (!root) return 201;
              struct statvfs info{};
              auto target = place.path() + "/app/sub";
              if (::statvfs(target.c_str(), &info) != 0 || (info.f_flag & ST_NOSUID) == 0) return 202;
              int error = errno_of(::open((target + "/x").c_str(), O_WRONLY | O_CREAT, 0600));
              must(discard_root(*root));
              return error;
            }),
            EROFS);
}

TEST(Root, EveryMountIsNosuidAndNodevAndNoexecWhereAsked) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  RootPlan plan;
  plan.mounts = {
      {.target = "/app", .source = dir.path()},
      {.target = "/share", .source = dir.path(), .no_exec = true},
      {.kind = Mount::Kind::tmpfs, .target = "/tmp", .read_only = false, .tmpfs = {.size_bytes = 1 << 16}}};
  plan.shm = TmpfsOptions{.size_bytes = 1 << 16};
  EXPECT_EQ(in_root(plan,
                    [] {
                      struct statvfs info{};
                      for (const char* path : {"/", "/app", "/share", "/tmp", "/dev", "/dev/shm"}) {
                        if (::statvfs(path, &info) != 0) return 1;
                        if ((info.f_flag & (ST_NOSUID | ST_NODEV)) != (ST_NOSUID | ST_NODEV)) return 2;
                      }
                      for (const char* path : {"/", "/share", "/dev", "/dev/shm"}) {
                        if (::statvfs(path, &info) != 0 || (info.f_flag & ST_NOEXEC) == 0) return 3;
                      }
                      return ::statvfs("/app", &info) == 0 && (info.f_flag & ST_NOEXEC) == 0 ? 0 : 4;
                    }),
            0);
}

TEST(Root, ADeviceMadeOutsideDoesNotOpenInside) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto node = dir.path() + "/zero";
  ASSERT_EQ(::mknod(node.c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  RootPlan plan;
  plan.mounts = {{.target = "/app", .source = dir.path()}};
  ASSERT_EQ(outside(open_path(node, O_RDONLY)), 0);
  EXPECT_EQ(in_root(plan, open_path("/app/zero", O_RDONLY)), EACCES);
}

TEST(Root, TheMinimalDevWorks) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_root({},
                    [] {
                      char byte = 1;
                      int zero = ::open("/dev/zero", O_RDONLY);
                      int full = ::open("/dev/full", O_WRONLY);
                      int null = ::open("/dev/null", O_RDWR);
                      int random = ::open("/dev/urandom", O_RDONLY);
                      if (::read(zero, &byte, 1) != 1 || byte != 0) return 1;
                      if (::write(full, &byte, 1) != -1 || errno != ENOSPC) return 2;
                      if (::write(null, &byte, 1) != 1 || ::read(random, &byte, 1) != 1) return 3;
                      for (const char* absent :
                           {"/dev/tty", "/dev/fuse", "/dev/kmsg", "/dev/mem", "/dev/vsock", "/dev/pts"}) {
                        if (::access(absent, F_OK) == 0) return 4;
                      }
                      return 0;
                    }),
            0);
}

TEST(Root, AFalseDeviceIsRefused) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  for (const char* name : {"null", "zero", "full", "random", "urandom"}) dir.file(name, "not a device");
  RootPlan plan;
  plan.host_dev = dir.path();
  EXPECT_EQ(refusal(plan).kind(), ErrorKind::invalid);
}

TEST(Root, TheOldRootIsOutOfReach) {
  SKIP_UNLESS_ROOT();
  struct stat host{};
  ASSERT_EQ(::stat("/", &host), 0);
  // The classic ways back: more .. than there are directories, a second chroot, the working directory,
  // /proc/1/root.
  auto climb = [=] {
    struct stat here{};
    std::string up;
    for (int i = 0; i < 64; ++i) up += "../";
    if (::stat(up.c_str(), &here) == 0 && here.st_dev == host.st_dev) return 0;
    if (::mkdir("/tmp/x", 0700) == 0 && ::chroot("/tmp/x") == 0) {
      for (int i = 0; i < 64; ++i) (void)!::chdir("..");
      if (::stat(".", &here) == 0 && here.st_dev == host.st_dev) return 0;
    }
    return 1;
  };
  RootPlan plan;
  plan.mounts = {
      {.kind = Mount::Kind::tmpfs, .target = "/tmp", .read_only = false, .tmpfs = {.size_bytes = 1 << 16}}};
  EXPECT_EQ(in_root(plan, climb), 1);
  // In a mere chroot the second chroot leads out, which shows that the attack is one.
  TempDir place;
  place.directory("tmp");
  EXPECT_EQ(outside([&] {
              if (::chroot(place.path().c_str()) != 0 || ::chdir("/") != 0) return 200;
              return climb();
            }),
            0);
}

TEST(Root, ThePlanCannotBeLedElsewhereBySymlinks) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  TempDir elsewhere;
  ASSERT_EQ(::symlink(elsewhere.path().c_str(), (dir.path() + "/link").c_str()), 0);
  RootPlan plan;
  plan.mounts = {{.target = "/app", .source = dir.path(), .read_only = false},
                 {.kind = Mount::Kind::tmpfs, .target = "/app/link", .tmpfs = {.size_bytes = 4096}}};
  refusal(plan);
  plan.mounts.back().target = "/app/link/sub";
  refusal(plan);
  EXPECT_TRUE(std::filesystem::is_empty(elsewhere.path()));
  RootPlan through_own_link;
  through_own_link.symlinks = {{"/out", "/etc"}};
  through_own_link.files = {{"/out/passwd", "x"}};
  refusal(through_own_link);
}

TEST(Root, TargetsAreChecked) {
  SKIP_UNLESS_ROOT();
  for (const char* target : {"", "/", "app", "/../etc", "/app/../..", "//app", "/app/", "/./app"}) {
    RootPlan plan;
    plan.mounts = {{.kind = Mount::Kind::tmpfs, .target = target, .tmpfs = {.size_bytes = 4096}}};
    EXPECT_EQ(refusal(plan).kind(), ErrorKind::invalid) << target;
  }
  RootPlan boundless;
  boundless.mounts = {{.kind = Mount::Kind::tmpfs, .target = "/tmp"}};
  EXPECT_EQ(refusal(boundless).kind(), ErrorKind::invalid);
  RootPlan missing;
  missing.mounts = {{.target = "/app", .source = "/no/such/place"}};
  EXPECT_EQ(refusal(missing).kind(), ErrorKind::not_found);
  RootPlan many;
  many.mounts.resize(kMaxMounts + 1, {.target = "/x", .source = "/usr"});
  EXPECT_EQ(refusal(many).kind(), ErrorKind::invalid);
}

TEST(Root, ATmpfsIsBoundedInBytesAndInodes) {
  SKIP_UNLESS_ROOT();
  RootPlan plan;
  plan.mounts = {{.kind = Mount::Kind::tmpfs,
                  .target = "/tmp",
                  .read_only = false,
                  .tmpfs = {.size_bytes = 1 << 16, .inodes = 10, .mode = 0700, .uid = 7, .gid = 8}}};
  EXPECT_EQ(in_root(plan,
                    [] {
                      struct stat info{};
                      if (::stat("/tmp", &info) != 0 || info.st_uid != 7 || info.st_gid != 8) return 1;
                      if ((info.st_mode & 07777) != 0700) return 2;
                      std::string megabyte(1 << 20, 'x');
                      int fd = ::open("/tmp/big", O_WRONLY | O_CREAT, 0600);
                      if (::write(fd, megabyte.data(), megabyte.size()) > 1 << 16) return 3;
                      for (int i = 0; i < 20; ++i) {
                        if (::mkdir(("/tmp/" + std::to_string(i)).c_str(), 0700) != 0) return errno;
                      }
                      return 4;
                    }),
            ENOSPC);
}

TEST(Root, BindsAreMadeFromDescriptorsAndDetachedMounts) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  dir.file("seen", "x");
  EXPECT_EQ(outside([&] {
              int fd = ::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
              auto tmpfs = make_tmpfs({.size_bytes = 1 << 16});
              if (!tmpfs || ::openat(tmpfs->get(), "unpacked", O_WRONLY | O_CREAT, 0600) < 0) return 200;
              RootPlan plan;
              plan.mounts = {{.target = "/share", .source_fd = fd},
                             {.target = "/app", .source_fd = tmpfs->get()}};
              TempDir place;
              auto root = assemble_root(plan, place.path());
              if (!root) must(std::unexpected(root.error()));
              bool right = ::access((place.path() + "/share/seen").c_str(), F_OK) == 0 &&
                           ::access((place.path() + "/app/unpacked").c_str(), F_OK) == 0;
              must(discard_root(*root));
              return right ? 0 : 1;
            }),
            0);
}

TEST(Root, ATmpfsGetsOtherLimitsWhereverItIsMounted) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto one = dir.directory("one");
  auto two = dir.directory("two");
  EXPECT_EQ(outside([&] {
              auto tmpfs = make_tmpfs({.size_bytes = 1 << 20, .inodes = 50}, /*no_exec=*/true);
              if (!tmpfs) return 200;
              must(attach_mount(tmpfs->get(), one));
              auto copy = clone_mount(AT_FDCWD, one, false);
              if (!copy) return 201;
              must(attach_mount(copy->get(), two));
              must(limit_tmpfs(one, 1 << 16, 20));
              struct statvfs info{};
              if (::statvfs(two.c_str(), &info) != 0) return 202;
              if (info.f_blocks * info.f_frsize != 1 << 16 || info.f_files != 20) return 203;
              if ((info.f_flag & (ST_NOEXEC | ST_NOSUID)) != (ST_NOEXEC | ST_NOSUID)) return 204;
              int fd = ::open((two + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
              std::string much(1 << 17, 'x');
              if (::write(fd, much.data(), much.size()) != 1 << 16) return 205;
              if (limit_tmpfs(one, 1 << 15, 20)) return 206;  // it holds more
              must(limit_tmpfs(one, 1 << 18, 20));
              return ::write(fd, much.data(), much.size()) == 1 << 17 ? 0 : 207;
            }),
            0);
}

TEST(Root, ASingleFileCanBeBound) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto file = dir.file("resolv", "none\n");
  RootPlan plan;
  plan.mounts = {{.target = "/etc/deep/resolv.conf", .source = file}};
  EXPECT_EQ(in_root(plan, [] { return read_text("/etc/deep/resolv.conf") == "none\n" ? 0 : 1; }), 0);
}

TEST(Root, TheUmaskOfTheCallerDoesNotMatter) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  RootPlan plan;
  plan.mounts = {{.target = "/a/b/c", .source = dir.path()}};
  plan.files = {{"/etc/passwd", "x"}};
  EXPECT_EQ(outside([&] {
              ::umask(0777);
              return in_root(plan, [] {
                for (const char* path : {"/a", "/a/b", "/etc", "/dev", "/proc"}) {
                  struct stat info{};
                  if (::stat(path, &info) != 0 || (info.st_mode & 0777) != 0755) return 1;
                }
                struct stat info{};
                return ::stat("/etc/passwd", &info) == 0 && (info.st_mode & 0777) == 0444 ? 0 : 2;
              });
            }),
            0);
}

TEST(Root, NothingIsSeenInOtherMountNamespaces) {
  SKIP_UNLESS_ROOT();
  auto before = read_text("/proc/self/mountinfo");
  EXPECT_EQ(in_root({}, [] { return 0; }), 0);
  EXPECT_EQ(read_text("/proc/self/mountinfo"), before);
}

TEST(Hostname, IsOfTheNamespace) {
  SKIP_UNLESS_ROOT();
  char host[65] = {};
  ASSERT_EQ(::gethostname(host, sizeof host), 0);
  auto child = sys::fork_child(
      [] {
        must(set_hostname("cell"));
        char inside[65] = {};
        return ::gethostname(inside, sizeof inside) == 0 && std::string(inside) == "cell" ? 0 : 1;
      },
      CLONE_NEWUTS);
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait()->shell_code(), 0);
  char after[65] = {};
  ASSERT_EQ(::gethostname(after, sizeof after), 0);
  EXPECT_STREQ(after, host);
  EXPECT_FALSE(set_hostname(""));
  EXPECT_FALSE(set_hostname(std::string(65, 'x')));
}

}  // namespace
}  // namespace cloister::sandbox
