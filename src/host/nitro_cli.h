// nitro-cli, the program of AWS that starts enclaves, by its documented command line and JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/measurements.h"
#include "host/tool.h"

namespace cloister::host {

inline constexpr std::size_t kMaxNitroEnclaves =
    64;                                         // that describe-enclaves may list; an instance runs four
inline constexpr std::size_t kMaxNitroId = 64;  // characters of an enclave's ID
inline constexpr std::uint64_t kEifMemoryRatio =
    4;  // nitro-cli gives an image this many times its file, or E26
inline constexpr sys::milliseconds kNitroTimeout = sys::seconds(30);  // of what is not starting an enclave

struct NitroEnclave {
  std::string id;    // "i-…-enc…": letters, digits and dashes
  std::string name;  // nitro-cli's; empty before version 1.1
  pid_t pid = -1;    // of the process behind it
  std::uint32_t cid = 0;
  std::uint64_t memory_mib = 0;
  std::uint64_t cpus = 0;
  std::string state;  // RUNNING, TERMINATING, EMPTY; empty in the answer of run-enclave
  bool debug = false;
  std::optional<attestation::Measurements> measurements;  // of the file; absent before version 1.2

  bool running() const { return state == "RUNNING"; }
};

// What run-enclave and describe-enclaves print. corrupt: anything that is not documented of the members that
// are read.
Result<NitroEnclave> parse_run_enclave(std::string_view text);
Result<std::vector<NitroEnclave>> parse_describe_enclaves(std::string_view text);

struct NitroRun {
  std::string image;  // absolute path
  std::string name;
  std::uint64_t memory_mib = 0;
  std::uint64_t cpus = 0;
  std::uint64_t cid = 0;  // 0: nitro-cli chooses
  bool debug = false;
  std::uint64_t image_bytes = 0;  // how long the start may take depends on it
};

// How long run-enclave may take: what nitro-cli itself allows a boot (90 s for each 6 GiB of image and 100
// GiB of memory, calculate_necessary_timeout in src/enclave_proc/resource_manager.rs), and the time to fill
// the memory.
sys::milliseconds run_timeout(const NitroRun& wanted);
std::vector<std::string> run_enclave_words(const NitroRun& wanted);

class NitroCli {
 public:
  explicit NitroCli(RunTool run) : run_(std::move(run)) {}
  // not_found: there is none, with the command that brings it.
  static Result<NitroCli> find(const Environment& environment);

  // Until it has booted (nitro-cli waits for its heartbeat). `said`: gets what nitro-cli wrote on the way,
  // failed or not.
  Result<NitroEnclave> run_enclave(const NitroRun& wanted, std::string& said) const;
  // Those of this user; root sees all.
  Result<std::vector<NitroEnclave>> describe_enclaves() const;
  // Success, too, if there is no such enclave any more.
  Status terminate_enclave(const std::string& id) const;

 private:
  RunTool run_;
};

// `nitro-cli console`, which copies a debug enclave's console to standard output until the enclave ends. For
// become_tool() in a detached child, whose own environment is another.
struct ToolCommand {
  std::string path;
  std::vector<std::string> words;
  std::vector<std::string> variables;
};
Result<ToolCommand> nitro_console(const Environment& environment, const std::string& id);

}  // namespace cloister::host
