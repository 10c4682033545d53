#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "doctor/gather.h"
#include "host/allocator.h"
#include "host/qemu_programs.h"
#include "sys/file.h"

namespace cloister::doctor {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFile = 1024 * 1024;  // bytes
constexpr std::uint64_t kKibPerMib = 1024;
#if defined(__aarch64__)
constexpr auto kOwnArchitecture = image::Architecture::arm64;
#else
constexpr auto kOwnArchitecture = image::Architecture::x86_64;
#endif

std::string text_of(const std::string& path) {
  auto bytes = sys::read_file(path, kMaxFile);
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

std::string line_of(const std::string& path) {
  auto text = text_of(path);
  return text.substr(0, text.find('\n'));
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

std::uint64_t number_in(std::string_view text) {
  auto first = text.find_first_of("0123456789");
  std::uint64_t value = 0;
  if (first != std::string_view::npos) std::from_chars(text.data() + first, text.data() + text.size(), value);
  return value;
}

// What stands after "Name:" at the beginning of a line.
std::string_view field(std::string_view text, std::string_view name) {
  for (std::string_view rest = text; !rest.empty();) {
    auto line = rest.substr(0, rest.find('\n'));
    if (line.starts_with(name)) return line.substr(name.size());
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return {};
}

std::vector<std::string> words(std::string_view text, char separator) {
  std::vector<std::string> out;
  std::istringstream in{std::string(text)};
  for (std::string word; std::getline(in, word, separator);) {
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

bool has_word(const std::string& text, char separator, std::string_view word) {
  auto all = words(text, separator);
  return std::ranges::find(all, word) != all.end();
}

// "6.1.0-30-cloud-amd64"
void parse_kernel(Machine& out) {
  const char* at = out.kernel.data();
  const char* end = at + out.kernel.size();
  out.kernel_major = out.kernel_minor = 0;
  auto major = std::from_chars(at, end, out.kernel_major);
  if (major.ptr != end && *major.ptr == '.') std::from_chars(major.ptr + 1, end, out.kernel_minor);
}

// The name of a user, as /etc/passwd has it.
std::string user_name(const std::string& root, std::uint32_t uid) {
  for (const auto& line : words(text_of(root + "/etc/passwd"), '\n')) {
    auto cells = words(line, ':');
    if (cells.size() > 2 && cells[2] == std::to_string(uid)) return cells[0];
  }
  return std::to_string(uid);
}

bool landlock(const std::string& root) {
  if (root.empty() && ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0)
    return true;
  return has_word(line_of(root + "/sys/kernel/security/lsm"), ',', "landlock");
}

// Absent: there is none.
std::optional<bool> fusermount(const std::string& root) {
  for (const char* directory : {"/usr/local/bin", "/usr/bin", "/bin"}) {
    struct stat about{};
    if (::stat((root + directory + "/fusermount3").c_str(), &about) == 0)
      return (about.st_mode & S_ISUID) != 0;
  }
  return std::nullopt;
}

void read_identity(const std::string& root, Machine& out) {
  auto status = text_of(root + "/proc/self/status");
  // Real, effective, saved, file system: the second is who may do what.
  auto ids = words(field(status, "Uid:"), '\t');
  out.uid = static_cast<std::uint32_t>(ids.size() > 1 ? number_in(ids[1]) : ::geteuid());
  out.user = user_name(root, out.uid);
}

void read_devices(const std::string& root, Machine& out) {
  out.fuse = exists(root + "/dev/fuse");
  out.vsock = exists(root + "/dev/vsock");
  out.kvm = ::access((root + "/dev/kvm").c_str(), R_OK | W_OK) == 0;
  out.fusermount = fusermount(root);
  out.python = exists(root + "/usr/bin/python3");
  out.container = exists(root + "/.dockerenv") || exists(root + "/run/.containerenv");
}

std::string first_line_of(const Edges& edges, const std::vector<std::string>& command) {
  auto said = edges.run(command, kVersionTimeout);
  if (!said || said->code != 0) return "";
  return said->out.substr(0, said->out.find('\n'));
}

}  // namespace

Machine gather_machine(const std::string& root) {
  Machine out;
  auto architecture = line_of(root + "/proc/sys/kernel/arch");
  out.architecture = architecture == "aarch64"  ? image::Architecture::arm64
                     : architecture == "x86_64" ? image::Architecture::x86_64
                                                : kOwnArchitecture;
  out.kernel = line_of(root + "/proc/sys/kernel/osrelease");
  parse_kernel(out);
  read_identity(root, out);
  auto most = line_of(root + "/proc/sys/user/max_user_namespaces");
  out.user_namespaces = exists(root + "/proc/self/ns/user") && most != "0";
  out.landlock = landlock(root);
  auto controllers = line_of(root + "/sys/fs/cgroup/cgroup.controllers");
  out.cgroup_memory = has_word(controllers, ' ', "memory") && has_word(controllers, ' ', "pids");
  auto memory = text_of(root + "/proc/meminfo");
  out.memory_mib = number_in(field(memory, "MemTotal:")) / kKibPerMib;
  out.available_mib = number_in(field(memory, "MemAvailable:")) / kKibPerMib;
  auto online = host::parse_cpu_list(line_of(root + "/sys/devices/system/cpu/online"));
  out.cpus = online ? online->size() : 0;
  read_devices(root, out);
  return out;
}

Nitro gather_nitro(const Edges& edges, const Machine& machine) {
  Nitro out{.host = host::read_nitro_host(edges.root)};
  out.cli = host::find_tool(edges.environment, "nitro-cli").has_value();
  // "Nitro CLI 1.3.4"
  auto said =
      out.cli ? words(first_line_of(edges, {"nitro-cli", "--version"}), ' ') : std::vector<std::string>();
  if (!said.empty()) out.cli_version = said.back();
  auto status = text_of(edges.root + "/proc/self/status");
  std::string groups(field(status, "Groups:"));  // a tab, then numbers with a blank after each
  std::ranges::replace(groups, '\t', ' ');
  auto now = words(groups, ' ');
  out.group_exists = out.member = out.member_now = false;
  for (const auto& line : words(text_of(edges.root + "/etc/group"), '\n')) {
    // name:password:number:members, of which the second and the last may be empty
    auto name = line.substr(0, line.find(':'));
    if (name != out.host.device_group) continue;
    auto number = line.substr(std::min(line.find(':', name.size() + 1), line.size() - 1) + 1);
    out.group_exists = true;
    out.member = has_word(line.substr(line.rfind(':') + 1), ',', machine.user);
    out.member_now = std::ranges::find(now, number.substr(0, number.find(':'))) != now.end();
  }
  return out;
}

Qemu gather_qemu(const Edges& edges) {
  Qemu out;
  auto programs = host::find_qemu_programs(edges.environment);
  if (!programs) {
    out.missing = programs.error().message();
    out.hint = programs.error().hint();
    return out;
  }
  // "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)"
  constexpr std::string_view kBefore = "version ";
  auto said = first_line_of(edges, {programs->qemu, "--version"});
  auto at = said.find(kBefore);
  out.version =
      at == std::string::npos ? 0 : static_cast<unsigned>(number_in(std::string_view(said).substr(at)));
  return out;
}

}  // namespace cloister::doctor
