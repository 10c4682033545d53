#include "doctor/gather.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sys/file.h"

namespace cloister::doctor {
namespace {

namespace fs = std::filesystem;

// A machine that is a directory. What is missing there is missing on the machine.
class Gather : public testing::Test {
 protected:
  Gather() {
    std::string pattern = testing::TempDir() + "machine-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~Gather() override { fs::remove_all(root_); }

  void put(const std::string& path, std::string_view text = "") const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    ASSERT_TRUE(sys::write_file_atomic(root_ + path, as_bytes(text)));
  }
  Edges edges() {
    return {.root = root_,
            .environment = [](std::string_view name) -> std::optional<std::string> {
              return name == "PATH" ? std::optional<std::string>("/nowhere") : std::nullopt;
            },
            .paths = {.home = root_, .state = root_, .run = root_ + "/run/cloister", .also_run = {}},
            .dial = [this](const kms::ServiceUrl&, sys::Deadline) -> Result<std::unique_ptr<sys::Stream>> {
              ++dialled_;
              return fail(ErrorKind::unavailable, "no route");
            },
            .run = [](const auto&, auto) -> Result<host::ToolOutput> {
              return fail(ErrorKind::not_found, "none");
            },
            .clock = clock_};
  }

  std::string root_;
  sys::FixedClock clock_{0};
  int dialled_ = 0;
};

TEST_F(Gather, TakesAnEmptyMachineForWhatItIs) {
  auto facts = gather(edges(), {.backend = "nitro"});
  EXPECT_EQ(facts.machine.kernel_major, 0U);
  EXPECT_FALSE(facts.machine.fuse || facts.machine.landlock || facts.machine.user_namespaces ||
               facts.machine.python);
  EXPECT_FALSE(facts.machine.fusermount);
  EXPECT_EQ(facts.machine.cpus, 0U);
  EXPECT_FALSE(facts.nitro.cli || facts.nitro.member || facts.nitro.member_now);
  EXPECT_FALSE(facts.metadata || facts.running || facts.image);
  EXPECT_TRUE(facts.run_directory);
}

TEST_F(Gather, ReadsKernelAndMemory) {
  put("/proc/sys/kernel/osrelease", "5.10.0-30-cloud-amd64\n");
  put("/proc/meminfo", "MemTotal:       2048000 kB\nMemFree:        1 kB\nMemAvailable:   1024000 kB\n");
  put("/sys/devices/system/cpu/online", "0-2,5\n");
  put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  put("/sys/kernel/security/lsm", "capability,landlock,yama");
  put("/usr/bin/fusermount3");
  auto machine = gather_machine(root_);
  EXPECT_EQ(machine.kernel_major, 5U);
  EXPECT_EQ(machine.kernel_minor, 10U);
  EXPECT_EQ(machine.memory_mib, 2000U);
  EXPECT_EQ(machine.available_mib, 1000U);
  EXPECT_EQ(machine.cpus, 4U);
  EXPECT_TRUE(machine.cgroup_memory && machine.landlock);
  EXPECT_EQ(machine.fusermount, std::optional(false));
  ::chmod((root_ + "/usr/bin/fusermount3").c_str(), 04755);
  EXPECT_EQ(gather_machine(root_).fusermount, std::optional(true));
}

TEST_F(Gather, KnowsAGroupOfWhichThisLoginIsNotYet) {
  put("/dev/nitro_enclaves");
  auto group = host::read_nitro_host(root_).device_group;  // as this machine calls that of the file
  put("/etc/passwd", "alice:x:1000:1000::/home/alice:/bin/sh\n");
  put("/etc/group", fmt::format("{}:x:4321:bob,alice\n", group));
  put("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nGroups:\t43210 1000 \n");
  auto machine = gather_machine(root_);
  EXPECT_EQ(machine.user, "alice");
  auto nitro = gather_nitro(edges(), machine);
  EXPECT_TRUE(nitro.member);
  EXPECT_FALSE(nitro.member_now);
  put("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nGroups:\t4321 1000 \n");
  EXPECT_TRUE(gather_nitro(edges(), machine).member_now);
}

TEST_F(Gather, ChoosesWhatIsThere) {
  EXPECT_EQ(likely_backend(edges(), {.backend = ""}), "process");
  EXPECT_EQ(likely_backend(edges(), {.backend = "", .image = "x.eif"}), "qemu");
  put("/dev/nitro_enclaves");
  EXPECT_EQ(likely_backend(edges(), {.backend = "", .image = "x.eif"}), "nitro");
  EXPECT_EQ(likely_backend(edges(), {.backend = "process"}), "process");
}

TEST_F(Gather, AsksNothingOfflineAndNoMetadataWhereThereIsNone) {
  auto offline = edges();
  offline.offline = true;
  put("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
  gather(offline, {.backend = "process"});
  EXPECT_EQ(dialled_, 0);
  EXPECT_TRUE(gather(edges(), {.backend = "process"}).metadata);
  put("/sys/class/dmi/id/sys_vendor", "QEMU\n");
  EXPECT_FALSE(gather(edges(), {.backend = "process"}).metadata);
}

// A file counts in whole pages, and by its length: it will be written out in the folder.
TEST_F(Gather, CountsData) {
  put("/data/a/one", "1");
  put("/data/two", std::string(5000, 'x'));
  fs::create_symlink("/proc/kcore", root_ + "/data/link");
  auto data = gather_data(root_ + "/data");
  EXPECT_EQ(data.error, "");
  EXPECT_EQ(data.files, 4U);
  EXPECT_EQ(data.bytes, 3U * 4096);
  EXPECT_NE(gather_data(root_ + "/absent").error, "");
}

}  // namespace
}  // namespace cloister::doctor
