#include "sandbox/reaper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "sandbox/victim.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

struct Ended {
  int shell_code = -1;
  std::optional<InitReport> report;
  std::string output;
};

ExecPlan shell(const std::string& script) {
  return {.path = "/bin/sh", .argv = {"sh", "-c", script}, .env = {"PATH=/usr/bin:/bin"}};
}

// Runs the plan under an init of its own pid namespace. `during` sees the running init.
Ended run(ExecPlan plan, const std::function<void(const sys::Child&, int output)>& during = {}) {
  auto report = sys::make_pipe();
  auto output = sys::make_pipe();
  plan.report_fd = report->write.get();
  plan.stdout_fd = output->write.get();
  auto child = sys::fork_child([&] { return run_as_init(plan); }, CLONE_NEWPID);
  if (!child) return {};
  report->write.reset();
  output->write.reset();
  if (during) during(*child, output->read.get());
  Ended ended;
  if (auto status = child->wait(sys::Deadline::after(sys::seconds(15))))
    ended.shell_code = status->shell_code();
  InitReport read;
  if (::read(report->read.get(), &read, sizeof read) == sizeof read) ended.report = read;
  if (auto bytes = sys::read_all(output->read.get(), 1 << 16, "output")) ended.output = as_text(*bytes);
  return ended;
}

TEST(Reaper, TellsTheExitCodeAndPassesOutput) {
  SKIP_UNLESS_ROOT();
  auto ended = run(shell("echo hello; exit 7"));
  EXPECT_EQ(ended.shell_code, 7);
  EXPECT_EQ(ended.output, "hello\n");
  ASSERT_TRUE(ended.report);
  EXPECT_EQ(ended.report->end, ApplicationEnd::exited);
  EXPECT_EQ(ended.report->code, 7);
}

TEST(Reaper, TellsASignalFromTheCodeThatLooksLikeIt) {
  SKIP_UNLESS_ROOT();
  auto killed = run(shell("kill -9 $$"));
  EXPECT_EQ(killed.shell_code, 137);
  ASSERT_TRUE(killed.report);
  EXPECT_EQ(killed.report->end, ApplicationEnd::signalled);
  EXPECT_EQ(killed.report->code, SIGKILL);
  auto pretended = run(shell("exit 137"));
  EXPECT_EQ(pretended.shell_code, 137);
  ASSERT_TRUE(pretended.report);
  EXPECT_EQ(pretended.report->end, ApplicationEnd::exited);
}

TEST(Reaper, TellsWhyNothingStarted) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto check = [](ExecPlan plan, ApplicationEnd end, int code, int shell_code) {
    auto ended = run(std::move(plan));
    EXPECT_EQ(ended.shell_code, shell_code);
    ASSERT_TRUE(ended.report);
    EXPECT_EQ(ended.report->end, end);
    EXPECT_EQ(ended.report->code, code);
  };
  check({.path = "/no/such/program", .argv = {"x"}}, ApplicationEnd::not_found, ENOENT, 127);
  check({.path = dir.file("plain", "x"), .argv = {"x"}}, ApplicationEnd::not_executable, EACCES, 126);
  check({.path = dir.file("garbage", "\x01\x02", 0755), .argv = {"x"}}, ApplicationEnd::not_executable,
        ENOEXEC, 126);
  check({.path = dir.file("script", "#!/no/such/interpreter\n", 0755), .argv = {"x"}},
        ApplicationEnd::not_found, ENOENT, 127);
  auto lost = shell("true");
  lost.working_directory = "/no/such/place";
  check(lost, ApplicationEnd::failed, ENOENT, 125);
}

TEST(Reaper, UnknownBytesOfAReportAreAFailure) {
  EXPECT_EQ((InitReport{static_cast<ApplicationEnd>(99), 0}.shell_code()), 125);
  EXPECT_EQ((InitReport{ApplicationEnd::exited, 256}.shell_code()), 125);
  EXPECT_EQ((InitReport{ApplicationEnd::exited, -1}.shell_code()), 125);
  EXPECT_EQ((InitReport{ApplicationEnd::signalled, 0}.shell_code()), 125);
  EXPECT_EQ((InitReport{ApplicationEnd::signalled, 1000}.shell_code()), 125);
}

TEST(Reaper, PassesTerminationOn) {
  SKIP_UNLESS_ROOT();
  auto ended = run(shell("trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done"),
                   [](const sys::Child& init, int output) {
                     char line[6] = {};
                     ASSERT_EQ(::read(output, line, sizeof line), 6);
                     EXPECT_TRUE(init.signal(SIGTERM));
                   });
  EXPECT_EQ(ended.shell_code, 42);
}

TEST(Reaper, OrphansAreReapedAndDieWithTheApplication) {
  SKIP_UNLESS_ROOT();
  // Grandchildren that nobody waits for: a short one, which must not be taken for the application, and one in
  // a session of its own that would outlive everything. Its copy of the output pipe tells when it is gone.
  auto ended =
      run(shell("(sh -c 'exit 9' &) ; (setsid sh -c 'trap \"\" TERM HUP; sleep 600' &) ; sleep 0.2; exit 3"));
  EXPECT_EQ(ended.shell_code, 3);
  EXPECT_EQ(ended.output, "") << "read to its end: no writer is left";
  ASSERT_TRUE(ended.report);
  EXPECT_EQ(ended.report->code, 3);
}

TEST(Reaper, TheApplicationGetsThreeDescriptorsAndDefaultSignals) {
  SKIP_UNLESS_ROOT();
  ::signal(SIGPIPE, SIG_IGN);
  int leaked = ::open("/etc/passwd", O_RDONLY);  // without close-on-exec
  auto ended = run(shell("ls /proc/self/fd | wc -l; grep -E '^Sig(Ign|Blk)' /proc/self/status"));
  ::close(leaked);
  ::signal(SIGPIPE, SIG_DFL);
  // ls itself opens the directory.
  EXPECT_NE(ended.output.find("4\n"), std::string::npos) << ended.output;
  EXPECT_NE(ended.output.find("SigBlk:\t0000000000000000"), std::string::npos) << ended.output;
  EXPECT_NE(ended.output.find("SigIgn:\t0000000000000000"), std::string::npos) << ended.output;
}

TEST(Reaper, EnvironmentAndDirectoryAreThePlansOnly) {
  SKIP_UNLESS_ROOT();
  ::setenv("CLOISTER_TEST_SECRET", "x", 1);
  ExecPlan plan{.path = "/usr/bin/env", .argv = {"env"}, .env = {"A=1", "B=two words"}};
  EXPECT_EQ(run(plan).output, "A=1\nB=two words\n");
  plan = shell("pwd");
  plan.working_directory = "/usr/bin";
  EXPECT_EQ(run(plan).output, "/usr/bin\n");
  ::unsetenv("CLOISTER_TEST_SECRET");
}

TEST(Reaper, StandardStreamsMaySwapPlaces) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto input = dir.file("in", "from in\n");
  auto output = dir.file("out");
  auto child = sys::fork_child([&] {
    ::close(0);
    ::close(1);
    ::open(output.c_str(), O_WRONLY);  // 0
    ::open(input.c_str(), O_RDONLY);   // 1
    auto plan = shell("cat");
    plan.stdin_fd = 1;
    plan.stdout_fd = 0;
    return run_as_init(plan);
  });
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(sys::Deadline::after(sys::seconds(10)))->shell_code(), 0);
  EXPECT_EQ(read_text(output), "from in\n");
}

TEST(Reaper, StartsNothingForADeadLauncher) {
  SKIP_UNLESS_ROOT();
  TempDir dir;
  auto mark = dir.path() + "/ran";
  auto pipe = sys::make_pipe();
  pipe->read.reset();
  auto plan = shell("touch " + mark);
  plan.report_fd = pipe->write.get();
  auto child = sys::fork_child([&] { return run_as_init(plan); }, CLONE_NEWPID);
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(sys::Deadline::after(sys::seconds(10)))->shell_code(), 125);
  EXPECT_NE(::access(mark.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace cloister::sandbox
