#include "sandbox/idmap.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "sandbox/identity.h"
#include "sandbox/mount_api.h"
#include "sandbox/victim.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

constexpr uid_t kStored = 500123;

#define SKIP_UNLESS_IDMAPPED() \
  SKIP_UNLESS_ROOT();          \
  if (auto supported = idmapped_tmpfs_supported(); !supported) GTEST_SKIP() << supported.error().message()

// The share: a tmpfs of kStored with one private file, at path, as the launcher sees it.
void make_share(const std::string& path) {
  auto tmpfs = make_tmpfs({.size_bytes = 1 << 20, .mode = 0700, .uid = kStored, .gid = kStored}, true);
  if (!tmpfs) must(std::unexpected(tmpfs.error()));
  must(attach_mount(tmpfs->get(), path));
  int fd = ::open((path + "/input").c_str(), O_WRONLY | O_CREAT, 0600);
  if (fd < 0 || ::fchown(fd, kStored, kStored) != 0) ::_exit(kHarnessFailed);
}

Job job_with_share(const std::string& path, bool mapped) {
  Job job;
  job.prepare = [=] { make_share(path); };
  Mount share{.target = "/output", .source = path, .read_only = false, .no_exec = true};
  if (mapped) share.ids = {{.stored = kStored, .shown = kUid}};
  job.plan.mounts.push_back(share);
  job.walls.landlock->push_back({"/output", kRead | kWrite});
  return job;
}

TEST(Idmap, TheShareOfAnotherUserIsTheJobsOwn) {
  SKIP_UNLESS_IDMAPPED();
  TempDir dir;
  auto use = [] {
    struct stat info{};
    if (::stat("/output/input", &info) != 0) return errno;
    if (info.st_uid != kUid || info.st_gid != kUid) return 201;
    if (::open("/output/input", O_RDWR) < 0) return errno;
    return errno_of(::open("/output/result", O_WRONLY | O_CREAT | O_EXCL, 0600));
  };
  EXPECT_EQ(job_with_share(dir.path(), false).run(use), EACCES) << "without the map the share is closed";
  EXPECT_EQ(job_with_share(dir.path(), true).run(use), 0);
}

TEST(Idmap, WhatTheJobMakesBelongsToTheShare) {
  SKIP_UNLESS_IDMAPPED();
  TempDir dir;
  // In one mount namespace, so that the share can be looked at without the map afterwards.
  EXPECT_EQ(outside([&] {
              make_share(dir.path());
              auto tree = clone_mount(AT_FDCWD, dir.path(), false);
              if (!tree) return 200;
              must(map_mount_ids(tree->get(), {{.stored = kStored, .shown = kUid}}));
              auto child = sys::fork_child([&] {
                must(become(kUid, kUid));
                if (::openat(tree->get(), "result", O_WRONLY | O_CREAT, 0640) < 0) return errno;
                return errno_of(::mkdirat(tree->get(), "sub", 0700));
              });
              if (!child || child->wait(sys::Deadline::after(sys::seconds(10)))->shell_code() != 0)
                return 201;
              struct stat file{};
              struct stat sub{};
              if (::stat((dir.path() + "/result").c_str(), &file) != 0) return 202;
              if (::stat((dir.path() + "/sub").c_str(), &sub) != 0) return 203;
              return file.st_uid == kStored && file.st_gid == kStored && sub.st_uid == kStored ? 0 : 1;
            }),
            0);
}

TEST(Idmap, OtherIdsAreNobodyAndCreateNothing) {
  SKIP_UNLESS_IDMAPPED();
  TempDir dir;
  EXPECT_EQ(outside([&] {
              make_share(dir.path());
              ::chmod(dir.path().c_str(), 0777);
              ::close(::open((dir.path() + "/of-root").c_str(), O_WRONLY | O_CREAT, 0600));
              auto tree = clone_mount(AT_FDCWD, dir.path(), false);
              if (!tree) return 200;
              must(map_mount_ids(tree->get(), {{.stored = kStored, .shown = kUid}}));
              struct stat info{};
              if (::fstatat(tree->get(), "of-root", &info, 0) != 0 || info.st_uid != 65534) return 1;
              return errno_of(::openat(tree->get(), "x", O_WRONLY | O_CREAT, 0600));  // as root
            }),
            EOVERFLOW);
}

TEST(Idmap, AFileSystemWithoutItIsUnavailable) {
  SKIP_UNLESS_ROOT();
  auto proc = new_filesystem("proc", {}, kNoSuid);
  ASSERT_TRUE(proc) << proc.error().message();
  auto mapped = map_mount_ids(proc->get(), {{.stored = 1, .shown = 2}});
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().kind(), ErrorKind::unavailable);
}

}  // namespace
}  // namespace cloister::sandbox
