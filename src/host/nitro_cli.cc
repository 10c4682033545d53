#include "host/nitro_cli.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/nitro_errors.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr const char* kNitroCli = "nitro-cli";
constexpr std::uint64_t kGib = 1024ULL * 1024 * 1024;
constexpr std::uint64_t kMibPerGib = 1024;
constexpr sys::milliseconds kBootTime = sys::seconds(90);
constexpr std::uint64_t kImagePerBootTime = 6 * kGib;  // bytes
constexpr std::uint64_t kMemoryPerBootTime = 100 * kMibPerGib;
constexpr sys::milliseconds kFillPerGib = sys::seconds(2);  // hugepages are cleared before they are given
constexpr sys::milliseconds kRunMargin = sys::seconds(60);
constexpr std::uint64_t kMaxMib = 64ULL * 1024 * 1024;
constexpr std::uint64_t kMaxCpus = 8192;
constexpr std::uint64_t kFirstCid = 4;  // vsock(7): 0 hypervisor, 1 local, 2 host; 3 is the parent on Nitro
constexpr std::uint64_t kLastCid = 0xfffffffe;
constexpr std::uint64_t kLastPid = 1U << 22;  // PID_MAX_LIMIT of include/linux/threads.h

// Where nitro-cli looks for its sockets and writes its logs.
const std::vector<std::string> kVariables = {"NITRO_CLI_SOCKETS_PATH", "NITRO_CLI_LOGS_PATH",
                                             "NITRO_CLI_BLOBS"};

std::vector<std::string> variables_of(const Environment& environment) {
  auto out = tool_environment(environment, kVariables);
  out.emplace_back(kNitroBacktrace);
  return out;
}

Result<std::uint64_t> number(const json& object, const char* name, std::uint64_t least, std::uint64_t most) {
  auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned())
    return fail(ErrorKind::corrupt, "{} is missing, or no number", name);
  auto value = found->get<std::uint64_t>();
  if (value < least || value > most) return fail(ErrorKind::corrupt, "{} is {}", name, value);
  return value;
}

Result<std::string> text(const json& object, const char* name, std::size_t most, bool required = true) {
  auto found = object.find(name);
  if (found == object.end() && !required) return std::string();
  if (found == object.end() || !found->is_string() || found->get_ref<const std::string&>().size() > most)
    return fail(ErrorKind::corrupt, "{} is missing, or no short text", name);
  return found->get<std::string>();
}

// It becomes an argument of nitro-cli again, and part of our lines.
Status check_id(std::string_view id) {
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (id.empty() || id.front() == '-' || !std::ranges::all_of(id, fits))
    return fail(ErrorKind::corrupt, "EnclaveID is no ID");
  return {};
}

Result<std::optional<attestation::Measurements>> measurements_of(const json& object) {
  auto found = object.find("Measurements");
  if (found == object.end() || found->empty()) return std::optional<attestation::Measurements>();
  return std::optional(TRY(attestation::Measurements::from_json(json{{"Measurements", *found}}.dump())));
}

Result<NitroEnclave> enclave_of(const json& object, bool described) {
  if (!object.is_object()) return fail(ErrorKind::corrupt, "not an object");
  NitroEnclave out;
  out.id = TRY(text(object, "EnclaveID", kMaxNitroId));
  TRY(check_id(out.id));
  out.name = TRY(text(object, "EnclaveName", 256, false));
  out.pid = static_cast<pid_t>(TRY(number(object, "ProcessID", 2, kLastPid)));
  // An enclave that is being terminated has none any more.
  out.cid =
      static_cast<std::uint32_t>(TRY(number(object, "EnclaveCID", described ? 0 : kFirstCid, kLastCid)));
  out.cpus = TRY(number(object, "NumberOfCPUs", 0, kMaxCpus));
  out.memory_mib = TRY(number(object, "MemoryMiB", 0, kMaxMib));
  if (!described) return out;
  out.state = TRY(text(object, "State", 32));
  out.debug = TRY(text(object, "Flags", 256)) == "DEBUG_MODE";
  out.measurements = TRY(measurements_of(object));
  return out;
}

Result<json> parse(std::string_view text) {
  auto value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return fail(ErrorKind::corrupt, "not JSON");
  return value;
}

std::uint64_t pieces(std::uint64_t whole, std::uint64_t each) {
  return std::max<std::uint64_t>(1, (whole + each - 1) / each);
}

Result<ToolOutput> checked(std::string_view action, Result<ToolOutput> output) {
  if (output && output->code != 0) return std::unexpected(nitro_error(action, *output));
  return output;
}

}  // namespace

Result<NitroEnclave> parse_run_enclave(std::string_view text) {
  auto object = TRY(parse(text).context("what nitro-cli run-enclave printed"));
  return enclave_of(object, false).context("what nitro-cli run-enclave printed");
}

Result<std::vector<NitroEnclave>> parse_describe_enclaves(std::string_view text) {
  constexpr std::string_view kWhat = "what nitro-cli describe-enclaves printed";
  auto list = TRY(parse(text).context(kWhat));
  if (!list.is_array() || list.size() > kMaxNitroEnclaves)
    return fail(ErrorKind::corrupt, "{}: not a list of at most {}", kWhat, kMaxNitroEnclaves);
  std::vector<NitroEnclave> out;
  for (const auto& one : list) out.push_back(TRY(enclave_of(one, true).context(kWhat)));
  return out;
}

sys::milliseconds run_timeout(const NitroRun& wanted) {
  auto boots = pieces(wanted.image_bytes, kImagePerBootTime) + pieces(wanted.memory_mib, kMemoryPerBootTime);
  auto fill = kFillPerGib * static_cast<long>(pieces(wanted.memory_mib, kMibPerGib));
  return kBootTime * static_cast<long>(boots) + fill + kRunMargin;
}

std::vector<std::string> run_enclave_words(const NitroRun& wanted) {
  std::vector<std::string> words{kNitroCli,        "run-enclave",
                                 "--eif-path",     wanted.image,
                                 "--memory",       std::to_string(wanted.memory_mib),
                                 "--cpu-count",    std::to_string(wanted.cpus),
                                 "--enclave-name", wanted.name};
  if (wanted.cid != 0) words.insert(words.end(), {"--enclave-cid", std::to_string(wanted.cid)});
  if (wanted.debug) words.emplace_back("--debug-mode");
  return words;
}

Result<NitroCli> NitroCli::find(const Environment& environment) {
  auto found = find_tool(environment, kNitroCli);
  if (found) return NitroCli(system_tools(environment, variables_of(environment)));
  Error error(ErrorKind::not_found, "there is no nitro-cli on the PATH");
  return std::unexpected(
      std::move(error).with_hint("on an EC2 instance with enclaves enabled: dnf install "
                                 "aws-nitro-enclaves-cli, then cloister host prepare; anywhere "
                                 "else: --backend qemu"));
}

Result<NitroEnclave> NitroCli::run_enclave(const NitroRun& wanted, std::string& said) const {
  auto output = run_(run_enclave_words(wanted), run_timeout(wanted));
  if (output) said = output->err;
  auto good = TRY(checked("run-enclave", std::move(output)));
  return parse_run_enclave(good.out);
}

Result<std::vector<NitroEnclave>> NitroCli::describe_enclaves() const {
  auto output = TRY(checked("describe-enclaves", run_({kNitroCli, "describe-enclaves"}, kNitroTimeout)));
  return parse_describe_enclaves(output.out);
}

Status NitroCli::terminate_enclave(const std::string& id) const {
  auto output = run_({kNitroCli, "terminate-enclave", "--enclave-id", id}, kNitroTimeout);
  if (output && output->code == 0) return {};
  // Whatever it says: gone is gone.
  auto left = describe_enclaves();
  if (left && std::ranges::find(*left, id, &NitroEnclave::id) == left->end()) return {};
  TRY(checked("terminate-enclave", std::move(output)));
  return {};
}

Result<ToolCommand> nitro_console(const Environment& environment, const std::string& id) {
  return ToolCommand{.path = TRY(find_tool(environment, kNitroCli)),
                     .words = {kNitroCli, "console", "--enclave-id", id},
                     .variables = variables_of(environment)};
}

}  // namespace cloister::host
