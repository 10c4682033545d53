#include "host/nitro_errors.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/log.h"

namespace cloister::host {

namespace {

constexpr std::size_t kMaxQuoted = 300;  // bytes of nitro-cli's own words in our line

constexpr std::string_view kPrepare = "cloister host prepare shows what is missing, and sets it up";
constexpr std::string_view kMemory =
    "cloister host prepare --memory MIB sets more aside; nitro-cli describe-enclaves shows what uses it";
constexpr std::string_view kCpus =
    "ask for fewer with --cpus, or give enclaves more: cloister host prepare --cpus N";
constexpr std::string_view kAgain =
    "try again; if it stays, look at the newest file in /var/log/nitro_enclaves";
constexpr std::string_view kDriver =
    "why is in brackets; if that says little, see what sudo dmesg has of nitro_enclaves";
constexpr std::string_view kVersion = "nitro-cli --version: Cloister needs 1.2 or newer";
constexpr std::string_view kImage = "cloister image describe FILE says whether the file is whole";
// nitro-cli shows no console before the first sign of life.
constexpr std::string_view kBoot =
    "see how far it gets on this machine: cloister up --backend qemu --image FILE --debug, then cloister "
    "console";
constexpr std::string_view kGone = "it may have ended, or be another user's: cloister status";

struct Known {
  std::string_view code;
  ErrorKind kind;
  std::string_view sentence;
  std::string_view hint;
};

// E00, E12 to E16, E37, E41, E53 to E57 have no entry: they are defects or exhaustion within nitro-cli, and
// it is its own words that are shown.
constexpr Known kTable[] = {
    {"E01", ErrorKind::internal, "nitro-cli misses an argument", kVersion},
    {"E02", ErrorKind::internal, "nitro-cli was given arguments that exclude each other", kVersion},
    {"E03", ErrorKind::invalid, "nitro-cli takes one of the numbers for none", kVersion},
    {"E04", ErrorKind::system, "nitro-cli could not make a socket", kAgain},
    {"E05", ErrorKind::system, "nitro-cli could not start the enclave's process", kAgain},
    {"E06", ErrorKind::system, "nitro-cli could not detach the enclave's process", kAgain},
    {"E07", ErrorKind::denied, "nitro-cli may not read its own /run/nitro_enclaves", kPrepare},
    {"E08", ErrorKind::unavailable, "the process behind the enclave is gone", kGone},
    {"E09", ErrorKind::unavailable, "nitro-cli could not close its connection to the enclave's process",
     kAgain},
    {"E10", ErrorKind::unavailable, "nitro-cli could not prepare a connection to the console", kAgain},
    {"E11", ErrorKind::unavailable, "nitro-cli cannot reach the process behind the enclave", kGone},
    {"E17", ErrorKind::unavailable, "nitro-cli and the enclave's process do not understand each other",
     "was nitro-cli updated while the enclave ran? cloister down, and up again"},
    {"E18", ErrorKind::denied, "nitro-cli may not write its log",
     "ls -l /var/log/nitro_enclaves: the group ne must be able to write there"},
    {"E19", ErrorKind::system, "nitro-cli could not open or read a file", kPrepare},
    {"E20", ErrorKind::invalid, "a processor was asked for twice", kCpus},
    {"E21", ErrorKind::invalid, "a processor was asked for that is not set aside for enclaves", kCpus},
    {"E22", ErrorKind::exhausted, "fewer processors are set aside for enclaves than --cpus asks for", kCpus},
    {"E23", ErrorKind::system, "the list of processors set aside for enclaves is malformed", kPrepare},
    {"E24", ErrorKind::system, "the list of processors set aside for enclaves is malformed", kPrepare},
    {"E25", ErrorKind::system, "nitro-cli does not know this machine's size of hugepages", kVersion},
    {"E26", ErrorKind::invalid, "--memory is too small for the image: nitro-cli wants four times the file",
     "give more: cloister up --memory MIB"},
    {"E27", ErrorKind::exhausted, "less memory is set aside for enclaves, and free, than --memory asks for",
     kMemory},
    {"E28", ErrorKind::exhausted, "the driver made no enclave",
     "an instance runs four enclaves at most: nitro-cli describe-enclaves"},
    {"E29", ErrorKind::system, "the driver refused the enclave", kDriver},
    {"E30", ErrorKind::system, "the driver did not say where the image belongs", kDriver},
    {"E31", ErrorKind::system, "the driver refused the enclave's memory", kDriver},
    {"E32", ErrorKind::system, "the driver refused a processor", kDriver},
    {"E33", ErrorKind::system, "the driver did not start the enclave", kDriver},
    {"E34", ErrorKind::invalid, "the image does not fit the memory", "give more: cloister up --memory MIB"},
    {"E35", ErrorKind::corrupt, "the image could not be read whole into the enclave's memory", kImage},
    {"E36", ErrorKind::unavailable, "the enclave did not boot: it gave no sign of life", kBoot},
    {"E38", ErrorKind::unavailable, "an enclave's process did not do as nitro-cli told it", kAgain},
    {"E39", ErrorKind::unavailable, "nitro-cli lost the process behind the enclave", kAgain},
    {"E40", ErrorKind::not_found, "nitro-cli knows no such enclave", kGone},
    {"E42", ErrorKind::exhausted, "hugepages could not be mapped", kMemory},
    {"E43", ErrorKind::system, "hugepages could not be given back", kAgain},
    {"E44", ErrorKind::denied, "there is no console", "only an enclave started with --debug has one"},
    {"E45", ErrorKind::unavailable, "the console cannot be read any more", kGone},
    {"E46", ErrorKind::system, "the console could not be written down", "is the disk full? df"},
    {"E47", ErrorKind::internal, "nitro-cli takes the enclave's CID for none", kVersion},
    {"E51", ErrorKind::invalid, "nitro-cli has no place for its files",
     "export HOME, or NITRO_CLI_ARTIFACTS=DIR"},
    {"E52", ErrorKind::invalid, "nitro-cli does not find its kernel and init", "export NITRO_CLI_BLOBS=DIR"},
    {"E58", ErrorKind::not_found, "nitro-cli knows no enclave of that name", kGone},
    {"E59", ErrorKind::denied, "the image's signature does not hold",
     "its certificate may be over, or another's: cloister image verify FILE"},
};

// Causes that several codes share, known by nitro-cli's words for them.
struct Cause {
  std::string_view words;
  std::string_view hint;
};
constexpr Cause kCauses[] = {
    {"full CPU cores have not been set",
     "--cpus must be even here: processors of one core go to an enclave together"},
    {"different NUMA nodes",
     "the memory set aside is on another node than the processors: sudo systemctl restart "
     "nitro-enclaves-allocator"},
    {"no CPUs are available in the pool", kCpus},
    {"not available in the CPU pool", kCpus},
    {"lower than the minimum supported", "give more: cloister up --memory MIB"},
    {"vsock bind error",
     "another enclave is just starting, and only one at a time can: try again in a moment"},
    {"PermissionDenied",
     "cloister host prepare --user NAME lets NAME start enclaves, from their next login on"},
    {"/dev/nitro_enclaves", kPrepare},
    {"ne_cpus", kPrepare},
};

struct Report {
  std::string code;    // "E27"; empty: none was printed
  std::string words;   // what follows it
  std::string detail;  // the cause, or the file
};

bool is_code(std::string_view line) {
  return line.size() > 7 && line.starts_with("[ E") &&
         std::isdigit(static_cast<unsigned char>(line[3])) != 0 &&
         std::isdigit(static_cast<unsigned char>(line[4])) != 0 && line.substr(5, 2) == " ]";
}

std::string_view trim(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string quote(std::string_view text) {
  auto bounded = std::string(text.substr(0, kMaxQuoted));
  return escape_controls(bounded) + (text.size() > kMaxQuoted ? "…" : "");
}

// One report per code, in the order of their printing.
std::vector<Report> reports_in(std::string_view text) {
  std::vector<Report> out;
  bool among_subactions = false;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto trimmed = trim(line);
    if (is_code(trimmed)) {
      out.push_back({std::string(trimmed.substr(2, 3)), std::string(trim(trimmed.substr(7))), ""});
      among_subactions = false;
      continue;
    }
    if (out.empty()) continue;
    if (trimmed.starts_with("Subactions:") || trimmed.starts_with("Root error file:"))
      among_subactions = trimmed.starts_with("Subactions:");
    else if ((among_subactions && !trimmed.empty()) || trimmed.starts_with("File: '"))
      out.back().detail = trimmed;
  }
  return out;
}

Report root_of(const std::string& text) {
  auto all = reports_in(text);
  if (all.empty()) return {};
  auto found =
      std::ranges::find_if(all, [](const auto& one) { return one.code != "E38" && one.code != "E39"; });
  return found == all.end() ? all.front() : *found;
}

std::string first_line(std::string_view text) {
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    if (!trim(line).empty()) return std::string(trim(line));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return "it said nothing";
}

std::string hint_for(const Report& report, std::string_view otherwise) {
  for (const auto& cause : kCauses) {
    if (report.detail.find(cause.words) != std::string::npos) return std::string(cause.hint);
  }
  return std::string(otherwise);
}

}  // namespace

Error nitro_error(std::string_view action, const ToolOutput& output) {
  auto report = root_of(output.err + "\n" + output.out);
  if (report.code.empty()) {
    auto said = first_line(output.err.empty() ? output.out : output.err);
    Error error(ErrorKind::unavailable,
                fmt::format("nitro-cli {}: exit code {}: {}", action, output.code, quote(said)));
    return std::move(error).with_hint(std::string(kVersion));
  }
  const auto* known = std::ranges::find(kTable, report.code, &Known::code);
  if (known == std::end(kTable)) {
    const auto& said = report.detail.empty() ? report.words : report.detail;
    Error error(ErrorKind::unavailable,
                fmt::format("nitro-cli {}: {}: {}", action, report.code, quote(said)));
    return std::move(error).with_hint(hint_for(report, kAgain));
  }
  auto detail = report.detail.empty() ? "" : ": " + quote(report.detail);
  Error error(known->kind, fmt::format("{} (nitro-cli {}{})", known->sentence, report.code, detail));
  return std::move(error).with_hint(hint_for(report, known->hint));
}

}  // namespace cloister::host
