#include "host/host_prepare.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/log.h"
#include "host/nitro_cli.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr sys::milliseconds kAskTimeout = sys::seconds(20);
constexpr sys::milliseconds kStepTimeout =
    sys::seconds(300);                 // the kernel may have to move much memory first
constexpr std::size_t kMaxSaid = 300;  // bytes of a service's last word
constexpr const char* kJournalLines = "20";

std::string answer(const Machinery& machinery, const std::vector<std::string>& words) {
  auto output = machinery.run(words, kAskTimeout);
  return output && output->code == 0 ? output->out : std::string();
}

bool has_line(const std::string& text, std::string_view line) {
  std::istringstream lines(text);
  for (std::string one; std::getline(lines, one);) {
    if (one == line) return true;
  }
  return false;
}

bool has_word(const std::string& text, std::string_view word) {
  std::istringstream words(text);
  for (std::string one; words >> one;) {
    if (one == word) return true;
  }
  return false;
}

// The last line that begins with "Error": the script's own last word.
std::string last_error(const std::string& journal) {
  std::istringstream lines(journal);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Error")) found = line;
  }
  return found.empty() ? "its journal says no more" : found.substr(0, kMaxSaid);
}

Status write_step(const Machinery& machinery, const HostStep& step) {
  auto path = machinery.root + step.file;
  auto directory = std::filesystem::path(path).parent_path().string();
  TRY(sys::make_directories(directory, 0755));
  struct stat info{};
  mode_t mode = 0644;
  if (::stat(path.c_str(), &info) == 0) {
    mode = info.st_mode & 0777;
    auto old = TRY(sys::read_file(path, kMaxAllocatorFile));
    TRY(sys::write_file_atomic(machinery.root + kAllocatorBackup, old, mode));
  }
  return sys::write_file_atomic(path, as_bytes(step.text), mode);
}

Status run_step(const Machinery& machinery, const HostStep& step) {
  auto output = TRY(machinery.run(step.command, kStepTimeout));
  if (output.code == 0) return {};
  auto said = output.err.substr(0, std::min(output.err.find('\n'), kMaxSaid));
  return fail(ErrorKind::system, "{}: exit code {}: {}", fmt::join(step.command, " "), output.code,
              escape_controls(said));
}

bool is_restart(const HostStep& step) {
  return step.command.size() > 1 && step.command[1] == "restart";
}

}  // namespace

HostFacts gather_host_facts(const Machinery& machinery, const Environment& environment,
                            const std::string& user) {
  HostFacts facts{.nitro = read_nitro_host(machinery.root)};
  facts.nitro_cli = find_tool(environment, "nitro-cli").has_value();
  auto unit = answer(machinery,
                     {"systemctl", "show", kAllocatorUnit, "--property=LoadState,ActiveState,UnitFileState"});
  facts.unit_exists = has_line(unit, "LoadState=loaded");
  facts.unit_active = has_line(unit, "ActiveState=active");
  facts.unit_enabled = has_line(unit, "UnitFileState=enabled");
  facts.group_exists = !answer(machinery, {"getent", "group", kNitroGroup}).empty();
  if (!user.empty() && !user.starts_with('-')) {
    auto groups = answer(machinery, {"id", "-nG", user});
    facts.user_exists = !groups.empty();
    facts.user_is_member = has_word(groups, kNitroGroup);
  }
  if (facts.nitro_cli) {
    if (auto running = NitroCli(machinery.run).describe_enclaves()) facts.running_enclaves = running->size();
  }
  return facts;
}

Status prepare_host(const Machinery& machinery, const HostPlan& plan) {
  std::string said;
  for (const auto& step : plan.steps) {
    auto done = step.file.empty() ? run_step(machinery, step) : write_step(machinery, step);
    if (!done && !is_restart(step)) return done;
    if (done) continue;
    said = last_error(answer(
        machinery, {"journalctl", "-u", kAllocatorUnit, "-n", kJournalLines, "-o", "cat", "--no-pager"}));
  }
  return check_host(read_nitro_host(machinery.root), plan, said);
}

}  // namespace cloister::host
