// Whole jobs: every wall at once, and what gets through anyway.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>

#include "sandbox/mount_api.h"
#include "sandbox/namespaces.h"
#include "sandbox/proc.h"
#include "sandbox/reaper.h"
#include "sandbox/victim.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::sandbox {
namespace {

using namespace victim;

struct Ended {
  int shell_code = -1;
  std::string output;  // stdout and stderr
};

Ended run_program(Job job, ExecPlan plan) {
  auto output = sys::make_pipe();
  int fd = plan.stdout_fd = plan.stderr_fd = output->write.get();
  job.walls.keep_fds.push_back(fd);
  Ended ended;
  ended.shell_code = job.run([&] { return run_as_init(plan); });
  output->write.reset();
  if (auto bytes = sys::read_all(output->read.get(), 1 << 20, "output")) ended.output = as_text(*bytes);
  return ended;
}

Ended run_shell(const std::string& script) {
  return run_program({}, {.path = "/bin/sh", .argv = {"sh", "-c", script}, .env = {"PATH=/usr/bin:/bin"}});
}

// Landlock lets everything pass, so that what fails does so for another reason.
Job without_landlock() {
  Job job;
  job.walls.landlock = {{{"/", kRead | kWrite | kExecute}}};
  return job;
}

TEST(Job, HostFilesAreNotThere) {
  SKIP_UNLESS_ROOT();
  auto read = [] { return errno_of(::open("/etc/hostname", O_RDONLY)); };
  ASSERT_EQ(outside_as_user(read), 0);
  EXPECT_EQ(without_landlock().run(read), ENOENT);
  EXPECT_EQ(Job().run([] { return errno_of(::open("/proc/1/root/etc/hostname", O_RDONLY)); }), ENOENT);
  EXPECT_EQ(Job().run([] { return errno_of(::open("/../../../../etc/hostname", O_RDONLY)); }), ENOENT);
}

TEST(Job, SeesItsOwnProcessesOnly) {
  SKIP_UNLESS_ROOT();
  auto host_pid = ::getpid();
  auto count = [] {
    int processes = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      if (std::isdigit(entry.path().filename().string()[0])) ++processes;
    }
    return processes > 100 ? 100 : processes;
  };
  EXPECT_GT(outside(count), 2);
  EXPECT_EQ(without_landlock().run(count), 1);
  auto signal_host = [=] { return errno_of(::kill(host_pid, 0)); };
  EXPECT_EQ(outside(signal_host), 0);
  EXPECT_EQ(without_landlock().run(signal_host), ESRCH);
  EXPECT_EQ(without_landlock().run([] { return errno_of(::kill(-1, 0)); }), ESRCH);
}

TEST(Job, ProcShowsNothingOfTheKernel) {
  SKIP_UNLESS_ROOT();
  for (const char* path :
       {"/proc/sys", "/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/sysrq-trigger", "/proc/kallsyms"}) {
    EXPECT_NE(without_landlock().run([=] { return errno_of(::access(path, F_OK)); }), 0) << path;
  }
  auto write = [] { return errno_of(::open("/proc/self/oom_score_adj", O_WRONLY)); };
  ASSERT_EQ(outside(write), 0);
  EXPECT_NE(without_landlock().run(write), 0);
  auto shell = run_shell("cat /proc/self/comm; ls /proc | grep -vE '^[0-9]+$' | sort | tr '\\n' ' '");
  EXPECT_EQ(shell.output, "cat\nself thread-self ");
}

TEST(Job, TheLaunchersMemoryInPidOneIsClosed) {
  SKIP_UNLESS_ROOT();
  auto shell = run_shell("ls /proc/1/fd /proc/1/mem /proc/1/environ; cat /proc/1/environ");
  EXPECT_NE(shell.shell_code, 0);
  EXPECT_EQ(shell.output.find("PATH="), std::string::npos) << shell.output;
  EXPECT_EQ(without_landlock().run([] {
    // A child of the same uid, as the application is one.
    auto child = ::fork();
    if (child == 0) ::_exit(errno_of(::open("/proc/1/mem", O_RDONLY)));
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }),
            ENOENT);
}

TEST(Job, MountsNamespacesAndDevicesAreDenied) {
  SKIP_UNLESS_ROOT();
  struct {
    const char* name;
    Attack attack;
  } attacks[] = {
      {"mount", [] { return errno_of(::mount("none", "/tmp", "tmpfs", 0, nullptr)); }},
      {"remount", [] { return errno_of(::mount("none", "/", nullptr, MS_REMOUNT | MS_BIND, nullptr)); }},
      {"unshare user", [] { return errno_of(::unshare(CLONE_NEWUSER)); }},
      {"chroot", [] { return errno_of(::chroot("/tmp")); }},
      {"hostname", [] { return errno_of(::sethostname("x", 1)); }},
      {"mknod", [] {
         int error = errno_of(::mknod("/tmp/cloister-node", S_IFCHR | 0600, 0x103));
         ::unlink("/tmp/cloister-node");
         return error;
       }}};
  for (const auto& attack : attacks) {
    // In a namespace of names too, so that the host's is not the one to change.
    EXPECT_EQ(outside([&] { return errno_of(::unshare(CLONE_NEWUTS)) + attack.attack(); }), 0) << attack.name;
    EXPECT_EQ(Job().run(attack.attack), EPERM) << attack.name;
  }
}

TEST(Job, HasNoNetworkButItsOwnSockets) {
  SKIP_UNLESS_ROOT();
  for (int family : {AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK, AF_PACKET}) {
    EXPECT_EQ(Job().run([=] { return errno_of(::socket(family, SOCK_DGRAM, 0)); }), EAFNOSUPPORT) << family;
  }
  EXPECT_EQ(Job().run([] { return errno_of(::socket(AF_UNIX, SOCK_STREAM, 0)); }), 0);
}

TEST(Job, WritesWhereItMayAndNowhereElse) {
  SKIP_UNLESS_ROOT();
  TempDir app;
  TempDir output;
  app.file("main.py", "print(1)");
  ASSERT_EQ(::chown(output.path().c_str(), kUid, kUid), 0);
  Job job;
  job.plan.mounts.push_back({.target = "/app", .source = app.path()});
  job.plan.mounts.push_back(
      {.target = "/output", .source = output.path(), .read_only = false, .no_exec = true});
  job.walls.landlock->push_back({"/app", kRead | kExecute});
  job.walls.landlock->push_back({"/output", kRead | kWrite});
  auto create = [](const char* path) {
    return [=] { return errno_of(::open(path, O_WRONLY | O_CREAT, 0600)); };
  };
  EXPECT_EQ(job.run(create("/output/result")), 0);
  EXPECT_EQ(job.run(create("/tmp/scratch")), 0);
  EXPECT_EQ(job.run(create("/dev/shm/semaphore")), 0);
  EXPECT_EQ(job.run(create("/dev/null")), 0);
  for (const char* path : {"/app/new", "/app/main.py", "/usr/new", "/new", "/etc/passwd", "/dev/new"}) {
    EXPECT_NE(job.run(create(path)), 0) << path;
  }
  EXPECT_TRUE(std::filesystem::exists(output.path() + "/result"));
  // noexec: a program put into the share does not start.
  auto start = [] {
    int fd = ::open("/output/program", O_WRONLY | O_CREAT, 0700);
    if (::write(fd, "#!/bin/sh\n", 10) != 10 || ::close(fd) != 0) return 200;
    const char* argv[] = {"program", nullptr};
    ::execve("/output/program", const_cast<char**>(argv), ::environ);
    return errno;
  };
  EXPECT_EQ(job.run(start), EACCES);
}

TEST(Job, OrphansDieWithIt) {
  SKIP_UNLESS_ROOT();
  auto shell = run_shell("(setsid sh -c 'trap \"\" TERM HUP; sleep 600' &); sleep 0.1; echo done");
  EXPECT_EQ(shell.shell_code, 0);
  EXPECT_EQ(shell.output, "done\n") << "read to its end: no writer is left";
}

TEST(Job, AForkBombEndsWithItsJob) {
  SKIP_UNLESS_ROOT();
  Job job;
  job.walls.limits.processes = 20;
  auto ended = run_program(job, {.path = "/usr/bin/python3",
                                 .argv = {"python3", "-I", "-c",
                                          "import os, time\n"
                                          "n = 0\n"
                                          "try:\n"
                                          "  while n < 500:\n"
                                          "    if os.fork() == 0: time.sleep(600)\n"
                                          "    n += 1\n"
                                          "except OSError as e: print(n < 20, e.errno)\n"}});
  EXPECT_EQ(ended.output, "True 11\n");
  EXPECT_EQ(ended.shell_code, 0);
}

TEST(Job, IsKilledWholeWithItsInit) {
  SKIP_UNLESS_ROOT();
  auto pipe = sys::make_pipe();
  auto child = sys::fork_child(
      [&] {
        if (::fork() == 0) {
          ::setsid();
          (void)!::write(pipe->write.get(), "x", 1);
          return ::pause();
        }
        return ::pause();
      },
      kJobNamespaces);
  ASSERT_TRUE(child);
  char byte = 0;
  ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  pipe->write.reset();
  ASSERT_TRUE(child->signal(SIGKILL));
  EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 0);
}

TEST(Job, AShellWorks) {
  SKIP_UNLESS_ROOT();
  auto ended = run_shell(
      "id -u; hostname; pwd; echo a | tr a b; x=$(ls / | tr '\\n' ' '); echo $x; mktemp >/dev/null && echo "
      "ok");
  EXPECT_EQ(ended.output, "61234\njob\n/\nb\nbin dev etc lib lib64 proc sbin tmp usr\nok\n");
  EXPECT_EQ(ended.shell_code, 0);
}

TEST(Job, PythonWorksWithThreadsProcessesAndNativeCode) {
  SKIP_UNLESS_ROOT();
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no /usr/bin/python3";
  auto python = [](const std::string& script) {
    return run_program({}, {.path = "/usr/bin/python3", .argv = {"python3", "-I", "-c", script}});
  };
  EXPECT_EQ(python("print(1)").output, "1\n");
  EXPECT_EQ(python("import threading\n"
                   "ts=[threading.Thread(target=print, args=('t',)) for _ in range(8)]\n"
                   "[t.start() for t in ts]; [t.join() for t in ts]")
                .output,
            "t\nt\nt\nt\nt\nt\nt\nt\n");
  EXPECT_EQ(python("import subprocess, sys\n"
                   "print(subprocess.run(['/bin/echo','x'], capture_output=True).stdout)")
                .output,
            "b'x\\n'\n");
  EXPECT_EQ(python("import multiprocessing as m\n"
                   "with m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1,-2]))")
                .output,
            "[1, 2]\n");
  EXPECT_EQ(
      python(
          "import asyncio, ctypes, mmap, sqlite3, tempfile, random, time\n"
          "asyncio.run(asyncio.sleep(0.01))\n"
          "f=tempfile.TemporaryFile(); f.write(b'x'); m=mmap.mmap(-1, 4096)\n"
          "print(ctypes.CDLL(None).getpid() > 1, sqlite3.connect(':memory:').execute('select 1').fetchone())")
          .output,
      "True (1,)\n");
}

TEST(Job, OtherProgramsWork) {
  SKIP_UNLESS_ROOT();
  struct {
    const char* path;
    std::vector<std::string> argv;
    const char* expected;
  } programs[] = {{"/usr/bin/node",
                   {"node", "-e",
                    "new (require('worker_threads').Worker)('process.stdout.write(\"\")', {eval: "
                    "true}).on('exit', () => console.log(2))"},
                   "2\n"},
                  {"/usr/bin/tesseract", {"tesseract", "--version"}, "tesseract"},
                  {"/usr/bin/perl", {"perl", "-e", "print 3"}, "3"}};
  for (const auto& program : programs) {
    if (::access(program.path, X_OK) != 0) continue;
    auto ended = run_program({}, {.path = program.path, .argv = program.argv});
    EXPECT_EQ(ended.shell_code, 0) << program.path << ended.output;
    EXPECT_EQ(ended.output.substr(0, std::string(program.expected).size()), program.expected) << program.path;
  }
}

TEST(Proc, WithoutSubsetTheKernelsFilesAreCovered) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(outside([] {
              TempDir dir;
              auto whole = new_filesystem("proc", {}, kNoSuid);
              if (!whole) return 200;
              must(attach_mount(whole->get(), dir.path()));
              if (::access((dir.path() + "/sys/kernel").c_str(), F_OK) != 0) return 201;
              if (read_text(dir.path() + "/kallsyms").empty() && read_text(dir.path() + "/modules").empty() &&
                  read_text(dir.path() + "/interrupts").empty()) {
                return 202;
              }
              must(mask_proc(dir.path()));
              bool covered = ::access((dir.path() + "/sys/kernel").c_str(), F_OK) != 0 &&
                             read_text(dir.path() + "/interrupts").empty() &&
                             read_text(dir.path() + "/kallsyms").empty();
              bool lives = !read_text(dir.path() + "/self/status").empty();
              must(detach(dir.path()));
              return covered && lives ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace cloister::sandbox
