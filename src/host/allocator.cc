#include "host/allocator.h"

#include <algorithm>
#include <charconv>

namespace cloister::host {

namespace {

constexpr std::string_view kStart = "---";
constexpr std::string_view kBlanks = " \t";

std::string_view trim(std::string_view text) {
  auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string_view key_of(std::string_view line) {
  auto text = trim(line);
  return text.starts_with('#') ? std::string_view() : trim(text.substr(0, text.find(':')));
}

std::string_view value_of(std::string_view line) {
  auto colon = line.find(':');
  auto value = colon == std::string_view::npos ? std::string_view() : trim(line.substr(colon + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return value;
}

Result<std::uint64_t> number_of(std::string_view text, std::uint64_t max) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max)
    return fail(ErrorKind::invalid, "'{}' is not a number up to {}", text, max);
  return value;
}

Status take(AllocatorConfig& config, std::string_view key, std::string_view value) {
  if (value.empty()) return fail(ErrorKind::invalid, "{} has no value", key);
  if (key == "memory_mib")
    config.memory_mib = TRY(number_of(value, kMaxAllocatorMib));
  else if (key == "cpu_count")
    config.cpu_count = TRY(number_of(value, kMaxCpu + 1));
  else if (key == "cpu_pool")
    config.cpu_pool = TRY(parse_cpu_list(value));
  else
    return fail(ErrorKind::invalid, "'{}' is none of memory_mib, cpu_count, cpu_pool", key);
  return {};
}

Status check(const AllocatorConfig& config) {
  if (!config.memory_mib) return fail(ErrorKind::invalid, "no memory_mib below a line ---");
  if (config.cpu_count && !config.cpu_pool.empty())
    return fail(ErrorKind::invalid, "cpu_count and cpu_pool exclude each other");
  if (config.cpus() == 0) return fail(ErrorKind::invalid, "neither cpu_count nor cpu_pool");
  return {};
}

// One file under the editor's hand.
class Edited {
 public:
  explicit Edited(std::string_view text) {
    auto lines = lines_of(text);
    for (auto& line : lines) line = line.substr(0, line.find('\r'));       // an editor's of another system
    bool started = std::ranges::find(lines, kStart, trim) == lines.end();  // without one, all of it counts
    if (started) lines_.emplace_back(kStart);
    for (auto line : lines) {
      if (started && trim(line).empty()) line = "#";  // on which the service fails
      started = started || trim(line) == kStart;
      lines_.emplace_back(line);
    }
  }

  void set(std::string_view key, std::uint64_t value) {
    auto wanted = fmt::format("{}: {}", key, value);
    auto found = std::ranges::find(lines_, key, key_of);
    if (found == lines_.end()) {
      lines_.push_back(std::move(wanted));
      return;
    }
    // The last of several would win: all say the same.
    for (; found != lines_.end();
         found = std::find_if(found, lines_.end(), [&](auto& l) { return key_of(l) == key; }))
      *found++ = wanted;
  }

  void comment_out(std::string_view key) {
    for (auto& line : lines_) {
      if (key_of(line) == key) line.insert(0, "# ");
    }
  }

  std::string text() const { return fmt::format("{}\n", fmt::join(lines_, "\n")); }

 private:
  std::vector<std::string> lines_;
};

}  // namespace

Result<std::vector<unsigned>> parse_cpu_list(std::string_view text) {
  std::vector<unsigned> out;
  text = trim(text);
  while (!text.empty()) {
    auto end = std::min(text.find(','), text.size());
    auto range = trim(text.substr(0, end));
    auto dash = std::min(range.find('-'), range.size());
    auto first = TRY(number_of(range.substr(0, dash), kMaxCpu));
    auto last = dash == range.size() ? first : TRY(number_of(range.substr(dash + 1), kMaxCpu));
    if (last < first) return fail(ErrorKind::invalid, "'{}' runs backwards", range);
    for (auto cpu = first; cpu <= last; ++cpu) out.push_back(static_cast<unsigned>(cpu));
    if (end + 1 == text.size()) return fail(ErrorKind::invalid, "a comma at the end");
    text.remove_prefix(std::min(end + 1, text.size()));
    if (out.size() > std::size_t{kMaxCpu} + 1) return fail(ErrorKind::invalid, "a processor is there twice");
  }
  std::ranges::sort(out);
  if (std::ranges::adjacent_find(out) != out.end())
    return fail(ErrorKind::invalid, "a processor is there twice");
  return out;
}

Result<AllocatorConfig> parse_allocator(std::string_view text) {
  AllocatorConfig config;
  bool started = false;
  unsigned number = 0;
  text = text.substr(0, text.rfind('\n') + 1);  // bash reads no line without an end; npos + 1 is 0
  for (auto line : lines_of(text)) {
    ++number;
    auto trimmed = trim(line);
    if (trimmed.starts_with('#')) continue;
    if (trimmed == kStart) started = true;
    if (!started || trimmed == kStart) continue;
    if (trimmed.empty())
      return fail(ErrorKind::invalid, "line {}: the allocator stops at an empty line", number);
    TRY(take(config, key_of(line), value_of(line)).context(fmt::format("line {}", number)));
  }
  TRY(check(config));
  return config;
}

std::string edit_allocator(std::string_view text, std::uint64_t memory_mib,
                           std::optional<std::uint64_t> cpus) {
  Edited file(text);
  file.set("memory_mib", memory_mib);
  if (cpus) {
    file.comment_out("cpu_pool");
    file.set("cpu_count", *cpus);
  }
  return file.text();
}

}  // namespace cloister::host
