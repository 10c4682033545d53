#include "sandbox/victim.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "sandbox/identity.h"
#include "sandbox/namespaces.h"
#include "sandbox/proc.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::sandbox::victim {

namespace {

constexpr sys::seconds kPatience{20};  // for one victim

int run_child(const std::function<int()>& body, unsigned namespaces) {
  auto child = sys::fork_child(body, namespaces);
  if (!child) {
    std::fprintf(stderr, "fork a victim: %s\n", child.error().message().c_str());
    return kHarnessFailed;
  }
  auto status = child->wait(sys::Deadline::after(kPatience));
  return status ? status->shell_code() : kHarnessFailed;
}

}  // namespace

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "harness: %s\n", status.error().message().c_str());
  ::_exit(kHarnessFailed);
}

int errno_of(long result) {
  return result < 0 ? errno : 0;
}

int outside(const Attack& attack) {
  return run_child(
      [&] {
        must(isolate_mounts());
        return attack();
      },
      0);
}

int outside_as_user(const Attack& attack) {
  return run_child(
      [&] {
        must(become(kUid, kUid));
        return attack();
      },
      0);
}

int in_profile(Profile profile, const Attack& attack) {
  return run_child(
      [&] {
        must(isolate_mounts());
        must(set_no_new_privileges());
        must(load_seccomp(profile));
        return attack();
      },
      0);
}

Job::Job() {
  plan.symlinks = {{"/bin", "usr/bin"}, {"/sbin", "usr/sbin"}, {"/lib", "usr/lib"}, {"/lib64", "usr/lib64"}};
  plan.files = {{"/etc/passwd", "root:x:0:0::/:/bin/sh\njob:x:61234:61234::/tmp:/bin/sh\n"}};
  plan.mounts = {{.target = "/usr", .source = "/usr"},
                 {.kind = Mount::Kind::tmpfs,
                  .target = "/tmp",
                  .read_only = false,
                  .tmpfs = {.size_bytes = 8 << 20, .mode = 01777}}};
  plan.shm = TmpfsOptions{.size_bytes = 1 << 20, .mode = 01777};
  walls.uid = walls.gid = kUid;
  walls.landlock = {
      {{"/", kRead}, {"/usr", kRead | kExecute}, {"/tmp", kRead | kWrite}, {"/dev", kRead | kWrite}}};
}

int Job::run(const Attack& attack) const {
  auto job = [&](const Root& root) {
    must(enter_root(root));
    must(set_hostname(hostname));
    if (auto proc = mount_proc(); !proc) must(std::unexpected(proc.error()));
    if (auto report = contain(walls); !report) must(std::unexpected(report.error()));
    return attack();
  };
  auto launcher = [&] {
    must(isolate_mounts());
    if (prepare) prepare();
    TempDir place;
    auto root = assemble_root(plan, place.path());
    if (!root) must(std::unexpected(root.error()));
    int code = run_child([&] { return job(*root); }, kJobNamespaces);
    must(discard_root(*root));
    return code;
  };
  return run_child(launcher, 0);
}

TempDir::TempDir() : path_("/tmp/cloister-sandbox-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr || ::chmod(path_.c_str(), 0755) != 0) path_.clear();
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::file(const std::string& name, const std::string& content, mode_t mode) const {
  auto path = path_ + "/" + name;
  sys::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  EXPECT_TRUE(fd) << path;
  EXPECT_TRUE(sys::write_all(fd.get(), as_bytes(content), path));
  ::fchmod(fd.get(), mode);
  return path;
}

std::string TempDir::directory(const std::string& name, mode_t mode) const {
  auto path = path_ + "/" + name;
  EXPECT_EQ(::mkdir(path.c_str(), mode), 0) << path;
  ::chmod(path.c_str(), mode);
  return path;
}

std::string read_text(const std::string& path) {
  auto bytes = sys::read_file(path, 1 << 20);
  return bytes ? std::string(as_text(*bytes)) : "";
}

}  // namespace cloister::sandbox::victim
