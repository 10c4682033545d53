#include "host/nitro_host.h"

#include <grp.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "sys/file.h"

namespace cloister::host {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSysFile = 64 * 1024;  // bytes
constexpr unsigned kMaxNodes = 1024;            // that Linux numbers (CONFIG_NODES_SHIFT is at most 10)
constexpr std::uint64_t kKibPerMib = 1024;

std::optional<std::string> text_of(const std::string& path, std::size_t max = kMaxSysFile) {
  auto bytes = sys::read_file(path, max);
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

std::uint64_t number_in(std::string_view text) {
  auto first = text.find_first_of("0123456789");
  std::uint64_t value = 0;
  if (first == std::string_view::npos) return 0;
  std::from_chars(text.data() + first, text.data() + text.size(), value);
  return value;
}

std::uint64_t number_of(const std::string& path) {
  return number_in(text_of(path).value_or(""));
}

std::vector<unsigned> cpu_list(const std::string& path) {
  auto text = text_of(path).value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return parse_cpu_list(text).value_or(std::vector<unsigned>());
}

// "node3" → 3
std::optional<unsigned> suffix_number(const std::string& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  unsigned value = 0;
  const char* end = name.data() + name.size();
  auto [at, error] = std::from_chars(name.data() + prefix.size(), end, value);
  return error == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
    out.push_back(at->path().filename().string());
  std::ranges::sort(out);
  return out;
}

// Of "Node 0 MemTotal:  16384 kB".
std::uint64_t meminfo_mib(const std::string& text, std::string_view what) {
  auto at = text.find(what);
  return at == std::string::npos ? 0
                                 : number_in(std::string_view(text).substr(at + what.size())) / kKibPerMib;
}

NumaNode read_node(const std::string& directory, unsigned index) {
  NumaNode node{.index = index};
  auto meminfo = text_of(directory + "/meminfo").value_or("");
  node.memory_mib = meminfo_mib(meminfo, "MemTotal:");
  node.free_mib = meminfo_mib(meminfo, "MemFree:");
  for (const auto& name : names_in(directory + "/hugepages")) {  // hugepages-2048kB
    auto pool = fmt::format("{}/hugepages/{}", directory, name);
    node.hugepages.push_back(
        {number_in(name), number_of(pool + "/nr_hugepages"), number_of(pool + "/free_hugepages")});
  }
  return node;
}

std::vector<NumaNode> read_nodes(const std::string& root) {
  std::vector<NumaNode> out;
  auto directory = root + "/sys/devices/system/node";
  for (const auto& name : names_in(directory)) {
    auto index = suffix_number(name, "node");
    if (index && *index < kMaxNodes) out.push_back(read_node(fmt::format("{}/{}", directory, name), *index));
  }
  std::ranges::sort(out, {}, &NumaNode::index);
  return out;
}

// A processor that is off line still has its link to its node, and no other sign of it.
std::vector<std::pair<unsigned, unsigned>> read_cpu_nodes(const std::string& root, const NitroHost& host) {
  std::vector<std::pair<unsigned, unsigned>> out;
  for (auto cpu : host.cpus) {
    for (const auto& node : host.nodes) {
      auto link = fmt::format("{}/sys/devices/system/cpu/cpu{}/node{}", root, cpu, node.index);
      std::error_code error;
      if (fs::exists(fs::symlink_status(link, error))) out.emplace_back(cpu, node.index);
    }
  }
  return out;
}

std::string group_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return "";
  const auto* group = ::getgrgid(info.st_gid);  // one thread here
  return group == nullptr ? std::to_string(info.st_gid) : group->gr_name;
}

}  // namespace

std::uint64_t NumaNode::hugepage_mib() const {
  std::uint64_t kib = 0;
  for (const auto& pool : hugepages) kib += pool.page_kib * pool.total;
  return kib / kKibPerMib;
}

std::uint64_t NumaNode::free_hugepage_mib() const {
  std::uint64_t kib = 0;
  for (const auto& pool : hugepages) kib += pool.page_kib * pool.free;
  return kib / kKibPerMib;
}

const NumaNode* NitroHost::node(unsigned index) const {
  auto found = std::ranges::find(nodes, index, &NumaNode::index);
  return found == nodes.end() ? nullptr : &*found;
}

const NumaNode* NitroHost::pool_node() const {
  if (cpu_pool.empty()) return nullptr;
  auto found = std::ranges::find(cpu_nodes, cpu_pool.front(), &std::pair<unsigned, unsigned>::first);
  return found == cpu_nodes.end() ? nullptr : node(found->second);
}

NitroHost read_nitro_host(const std::string& root) {
  NitroHost host;
  host.amazon_ec2 = text_of(root + "/sys/class/dmi/id/sys_vendor").value_or("").starts_with("Amazon EC2");
  host.device_group = group_of(root + kNitroDevice);
  host.device = !host.device_group.empty();
  auto module = root + "/sys/module/nitro_enclaves";
  host.module_loaded = fs::exists(module);
  host.allocator_text = text_of(root + kAllocatorFile, kMaxAllocatorFile);
  host.cpus = cpu_list(root + "/sys/devices/system/cpu/present");
  host.cpu_pool = cpu_list(module + "/parameters/ne_cpus");
  // Processor 0 is never an enclave's, so that its siblings are on line.
  auto siblings = cpu_list(root + "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
  host.threads_per_core = std::max<unsigned>(1, static_cast<unsigned>(siblings.size()));
  host.nodes = read_nodes(root);
  host.cpu_nodes = read_cpu_nodes(root, host);
  return host;
}

}  // namespace cloister::host
