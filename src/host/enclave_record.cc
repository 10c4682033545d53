#include "host/enclave_record.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "sys/fd.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr int kStartTimeField =
    20;  // of /proc/PID/stat after the command's closing parenthesis: field 22 of proc(5)

constexpr const char* kRecordName = "enclave.json";

std::string record_path(const Paths& paths, const std::string& name) {
  return paths.enclave(name) + "/" + kRecordName;
}

// A record says which enclave to believe: it is read only if nobody but root and you could have written it.
Result<Bytes> read_own_file(const std::string& path) {
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(path);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return fail_errno(path);
  bool others = info.st_uid != 0 && info.st_uid != ::geteuid();
  if (others || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    Error error(ErrorKind::denied, fmt::format("{} could have been written by somebody else", path));
    return std::unexpected(std::move(error).with_hint("remove it, and start the enclave anew: cloister up"));
  }
  return sys::read_all(file.get(), kMaxRecord, path);
}

Error not_for_you(const std::string& name) {
  Error error(ErrorKind::denied, fmt::format("enclave '{}' is there, but not for you", name));
  return std::move(error).with_hint("whoever started it lets others in with: cloister up --group GROUP");
}

// Names of enclaves; none where the directory cannot be read.
std::set<std::string> names_in(const std::string& directory) {
  struct CloseListing {
    void operator()(DIR* open) const { ::closedir(open); }
  };
  std::set<std::string> out;
  std::unique_ptr<DIR, CloseListing> listing(::opendir(directory.c_str()));
  if (!listing) return out;
  while (auto* entry = ::readdir(listing.get())) {
    if (check_enclave_name(entry->d_name)) out.insert(entry->d_name);
  }
  return out;
}

Result<EnclaveRecord> from_json(const json& object) {
  EnclaveRecord out;
  try {
    out.name = object.at("name").get<std::string>();
    out.backend = object.at("backend").get<std::string>();
    out.mode = object.at("mode").get<std::string>();
    out.pid = object.at("pid").get<pid_t>();
    out.started = object.at("started").get<std::uint64_t>();
    out.root_pem = object.at("attestation_root").get<std::string>();
    out.control = TRY(sys::Endpoint::parse(object.at("control").get<std::string>()));
    out.lanes = TRY(sys::Endpoint::parse(object.at("lanes").get<std::string>()));
    out.proxy = TRY(sys::Endpoint::parse(object.at("proxy").get<std::string>()));
    out.machine = object.value("machine", std::string());
    out.console_pid = object.value("console_pid", pid_t{-1});
    out.console_started = object.value("console_started", std::uint64_t{0});
    out.measurements =
        TRY(attestation::Measurements::from_json(object.at("measurements").get<std::string>()));
  } catch (const json::exception& error) {
    return fail(ErrorKind::corrupt, "{}", error.what());
  }
  return out;
}

}  // namespace

Result<Expectation> EnclaveRecord::expectation() const {
  auto roots = TRY(crypto::Certificate::list_from_pem(as_bytes(root_pem)));
  if (roots.size() != 1)
    return fail(ErrorKind::corrupt, "enclave '{}' names {} attestation roots", name, roots.size());
  return Expectation{measurements, roots.front()};
}

bool EnclaveRecord::alive() const {
  return pid > 0 && started != 0 && process_start_time(pid) == started;
}

std::uint64_t process_start_time(pid_t pid) {
  auto bytes = sys::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!bytes) return 0;
  auto text = as_text(*bytes);
  auto command_end = text.rfind(')');  // the command itself may hold blanks and parentheses
  if (command_end == std::string_view::npos) return 0;
  std::istringstream fields{std::string(text.substr(command_end + 1))};
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X")
    return 0;  // ended, though nobody has waited for it (containers without an init)
  for (int i = 1; i < kStartTimeField; ++i) fields >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

Status write_record(const Paths& paths, const EnclaveRecord& record) {
  json object{{"name", record.name},
              {"backend", record.backend},
              {"mode", record.mode},
              {"pid", record.pid},
              {"started", record.started},
              {"control", record.control.to_string()},
              {"lanes", record.lanes.to_string()},
              {"proxy", record.proxy.to_string()},
              {"measurements", record.measurements.to_json()},
              {"attestation_root", record.root_pem}};
  if (!record.machine.empty()) object["machine"] = record.machine;
  if (record.console_pid > 0) {
    object["console_pid"] = record.console_pid;
    object["console_started"] = record.console_started;
  }
  return sys::write_file_atomic(record_path(paths, record.name), as_bytes(object.dump(2)), 0644);
}

Result<EnclaveRecord> read_record(const Paths& paths, const std::string& name) {
  TRY(check_enclave_name(name));
  std::vector<std::string> places{paths.run};
  places.insert(places.end(), paths.also_run.begin(), paths.also_run.end());
  for (const auto& place : places) {
    auto path = fmt::format("{}/{}/{}", place, name, kRecordName);
    auto bytes = read_own_file(path);
    if (!bytes && bytes.error().kind() == ErrorKind::not_found) continue;
    if (!bytes && bytes.error().kind() == ErrorKind::denied && ::access(path.c_str(), F_OK) != 0)
      return std::unexpected(not_for_you(name));
    auto text = TRY(std::move(bytes));
    auto object = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
    auto record = TRY(from_json(object).context(path));
    record.own = place == paths.run;
    return record;
  }
  Error error(ErrorKind::not_found, fmt::format("no enclave named '{}' is running", name));
  return std::unexpected(std::move(error).with_hint(
      name == kDefaultEnclave ? "run: cloister up" : fmt::format("run: cloister up --name {}", name)));
}

std::vector<EnclaveRecord> list_records(const Paths& paths) {
  std::set<std::string> names = names_in(paths.run);
  for (const auto& place : paths.also_run) names.merge(names_in(place));
  std::vector<EnclaveRecord> out;
  for (const auto& name : names) {
    if (auto record = read_record(paths, name)) out.push_back(*std::move(record));
  }
  return out;
}

}  // namespace cloister::host
