// /etc/nitro_enclaves/allocator.yaml: what the nitro-enclaves-allocator service sets aside at boot. Read as
// that service reads it, which is a shell script and not a YAML parser (bootstrap/nitro-enclaves-allocator of
// aws-nitro-enclaves-cli 1.5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::host {

inline constexpr const char* kAllocatorFile = "/etc/nitro_enclaves/allocator.yaml";
inline constexpr std::size_t kMaxAllocatorFile = 64 * 1024;             // bytes
inline constexpr std::uint64_t kMaxAllocatorMib = 64ULL * 1024 * 1024;  // 64 TiB
inline constexpr unsigned kMaxCpu = 8191;  // the highest number that Linux gives on x86 and arm64

struct AllocatorConfig {
  std::optional<std::uint64_t> memory_mib;
  std::optional<std::uint64_t> cpu_count;  // either this …
  std::vector<unsigned> cpu_pool;          // … or these

  std::uint64_t cpus() const { return cpu_count.value_or(cpu_pool.size()); }
};

// "2,3,6-9", as the file and the kernel's own lists have it; sorted, each once. Empty text: none. invalid:
// anything else.
Result<std::vector<unsigned>> parse_cpu_list(std::string_view text);

// invalid, naming the line: what makes the service fail.
Result<AllocatorConfig> parse_allocator(std::string_view text);

// The text with these values in it; all other lines, comments among them, stay as they are. A cpu_pool that a
// cpu_count replaces becomes a comment. Empty `cpus`: cpu_count or cpu_pool stay. What the service could not
// read (a file without
// "---", an empty line after it) is mended. An empty text gives a new file.
std::string edit_allocator(std::string_view text, std::uint64_t memory_mib,
                           std::optional<std::uint64_t> cpus);

}  // namespace cloister::host
