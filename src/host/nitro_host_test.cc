#include "host/nitro_host.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sys/file.h"

namespace cloister::host {
namespace {

namespace fs = std::filesystem;

// /sys and /etc of a machine that we don't have.
class Tree {
 public:
  Tree() : root_(::testing::TempDir() + "nitro-host-" + std::to_string(::getpid())) { fs::remove_all(root_); }
  ~Tree() { fs::remove_all(root_); }
  Tree& file(const std::string& path, const std::string& text) {
    auto full = root_ + path;
    fs::create_directories(fs::path(full).parent_path());
    EXPECT_TRUE(sys::write_file_atomic(full, as_bytes(text)));
    return *this;
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

TEST(NitroHost, AMachineWithNothing) {
  auto host = read_nitro_host(Tree().root());
  EXPECT_FALSE(host.amazon_ec2 || host.device || host.module_loaded);
  EXPECT_FALSE(host.allocator_text);
  EXPECT_EQ(host.threads_per_core, 1U);
  EXPECT_EQ(host.pool_node(), nullptr);
}

TEST(NitroHost, TwoNodesWithThreads) {
  Tree tree;
  tree.file("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
      .file("/dev/nitro_enclaves", "")
      .file("/sys/module/nitro_enclaves/parameters/ne_cpus", "3,7\n")
      .file("/etc/nitro_enclaves/allocator.yaml", "---\nmemory_mib: 2048\ncpu_count: 2\n")
      .file("/sys/devices/system/cpu/present", "0-7\n")
      .file("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,4\n");
  for (int cpu = 0; cpu < 8; ++cpu)
    tree.file(fmt::format("/sys/devices/system/cpu/cpu{}/node{}/x", cpu, cpu % 4 / 2), "");
  for (int node : {0, 1}) {
    auto at = fmt::format("/sys/devices/system/node/node{}", node);
    tree.file(
            at + "/meminfo",
            fmt::format("Node {0} MemTotal:       16384000 kB\nNode {0} MemFree:        8192000 kB\n", node))
        .file(at + "/hugepages/hugepages-2048kB/nr_hugepages", node == 1 ? "512\n" : "0\n")
        .file(at + "/hugepages/hugepages-2048kB/free_hugepages", node == 1 ? "256\n" : "0\n")
        .file(at + "/hugepages/hugepages-1048576kB/nr_hugepages", node == 1 ? "1\n" : "0\n")
        .file(at + "/hugepages/hugepages-1048576kB/free_hugepages", "0\n");
  }
  auto host = read_nitro_host(tree.root());
  EXPECT_TRUE(host.amazon_ec2 && host.device && host.module_loaded);
  EXPECT_EQ(host.threads_per_core, 2U);
  EXPECT_EQ(host.cpus.size(), 8U);
  EXPECT_EQ(host.cpu_pool, (std::vector<unsigned>{3, 7}));
  ASSERT_EQ(host.nodes.size(), 2U);
  EXPECT_EQ(host.nodes[0].memory_mib, 16000U);
  EXPECT_EQ(host.nodes[0].free_mib, 8000U);
  EXPECT_EQ(host.nodes[0].hugepage_mib(), 0U);
  ASSERT_NE(host.pool_node(), nullptr);
  EXPECT_EQ(host.pool_node()->index, 1U);
  EXPECT_EQ(host.pool_node()->hugepage_mib(), 2048U);
  EXPECT_EQ(host.pool_node()->free_hugepage_mib(), 512U);
}

}  // namespace
}  // namespace cloister::host
