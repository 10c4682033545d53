#include "sandbox/user_namespace.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>

#include "sandbox/namespaces.h"
#include "sandbox/proc.h"
#include "sandbox/victim.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

constexpr std::uint32_t kBase = 800000;
const std::vector<IdRange> kMap = {{.inside = 0, .outside = kBase, .count = kUserNamespaceIds}};

int run(const std::function<int()>& body, unsigned flags = 0) {
  auto child = fork_in_user_namespace(body, kMap, flags);
  if (!child) return kHarnessFailed;
  auto status = child->wait(sys::Deadline::after(sys::seconds(10)));
  return status ? status->shell_code() : kHarnessFailed;
}

TEST(UserNamespace, RootInsideIsTheBaseOutside) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto open = dir.directory("open", 0777);
  EXPECT_EQ(run([&] {
              if (::getuid() != 0 || ::getegid() != 0 || ::getgroups(0, nullptr) != 0) return 1;
              int fd = ::open((open + "/mine").c_str(), O_WRONLY | O_CREAT, 0600);
              return fd >= 0 && ::fchown(fd, 7, 8) == 0 ? 0 : 2;
            }),
            0);
  struct stat info{};
  ASSERT_EQ(::stat((open + "/mine").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kBase + 7);
  EXPECT_EQ(info.st_gid, kBase + 8);
}

TEST(UserNamespace, RootInsideHasNoPowerOutside) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto secret = dir.file("secret", "x", 0600);
  auto read = [&] { return errno_of(::open(secret.c_str(), O_RDONLY)); };
  ASSERT_EQ(outside(read), 0);
  EXPECT_EQ(run(read), EACCES);
  EXPECT_EQ(run([&] { return errno_of(::chown(secret.c_str(), 0, 0)); }), EPERM);
  EXPECT_EQ(run([] { return errno_of(::sethostname("x", 1)); }), EPERM);
  EXPECT_EQ(run([] { return errno_of(::setuid(kUserNamespaceIds)); }), EINVAL) << "an id that is not mapped";
}

TEST(UserNamespace, FirstProcessOfAPidNamespace) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(run([] { return ::getpid() == 1 && ::getuid() == 0 ? 0 : 1; }, CLONE_NEWPID | CLONE_NEWNS), 0);
}

TEST(UserNamespace, MapsAreChecked) {
  SKIP_UNLESS_ROOT();
  EXPECT_FALSE(fork_in_user_namespace([] { return 0; }, {}));
  EXPECT_FALSE(fork_in_user_namespace([] { return 0; }, std::vector<IdRange>(kMaxIdRanges + 1)));
  EXPECT_FALSE(fork_in_user_namespace([] { return 0; }, {{0, 1, 2}, {1, 9, 1}})) << "overlapping ranges";
  EXPECT_FALSE(make_user_namespace({}));
}

TEST(UserNamespace, ABodyNeverRunsWithoutItsMap) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto open = dir.directory("open", 0777);
  auto mark = [&] { return errno_of(::open((open + "/ran").c_str(), O_WRONLY | O_CREAT, 0600)); };
  EXPECT_FALSE(fork_in_user_namespace(mark, {{0, 1, 2}, {1, 9, 1}}));
  EXPECT_NE(::access((open + "/ran").c_str(), F_OK), 0);
}

// The share server's way: a root, then walls with the capabilities that its own ids need, and no other.
TEST(UserNamespace, AServerWithIdsOfItsOwnIsContained) {
  SKIP_UNLESS_ROOT();
  constexpr std::uint64_t kKeep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER;
  EXPECT_EQ(outside([&] {
              RootPlan plan;
              plan.mounts = {{.kind = Mount::Kind::tmpfs,
                              .target = "/share",
                              .read_only = false,
                              .tmpfs = {.size_bytes = 1 << 20, .mode = 0700, .uid = kBase, .gid = kBase}}};
              TempDir place;
              auto root = assemble_root(plan, place.path());
              if (!root) must(std::unexpected(root.error()));
              auto server = fork_in_user_namespace(
                  [&] {
                    auto proc = mount_proc(root->mount_point + "/proc");
                    if (!proc) must(std::unexpected(proc.error()));
                    must(enter_root(*root));
                    Walls walls{.profile = Profile::share_server, .uid = 0, .gid = 0, .capabilities = kKeep};
                    walls.landlock = {{{"/share", kRead | kWrite}, {"/proc", kRead}}};
                    if (auto report = contain(walls); !report) must(std::unexpected(report.error()));
                    int fd = ::open("/share/file", O_WRONLY | O_CREAT, 0600);
                    if (fd < 0 || ::fchown(fd, 1000, 1000) != 0) return 1;
                    if (::fchown(fd, kUserNamespaceIds, 0) == 0) return 2;
                    if (::access("/proc/self/fd", F_OK) != 0 || ::open("/etc/passwd", O_RDONLY) >= 0)
                      return 3;
                    return ::setuid(5) == 0 ? 4 : 0;
                  },
                  kMap, kHelperNamespaces);
              if (!server) return kHarnessFailed;
              int code = server->wait(sys::Deadline::after(sys::seconds(10)))->shell_code();
              struct stat info{};
              auto file = place.path() + "/share/file";
              if (code == 0 && (::stat(file.c_str(), &info) != 0 || info.st_uid != kBase + 1000)) code = 9;
              must(discard_root(*root));
              return code;
            }),
            0);
}

}  // namespace
}  // namespace cloister::sandbox
