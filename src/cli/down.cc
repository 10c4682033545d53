#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "cli/verbs.h"
#include "host/backend.h"
#include "host/mounts.h"
#include "host/proxy_process.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string name = host::kDefaultEnclave;
  bool force = false;
};

// Of every client of the enclave. An enclave that does not answer has none that could be saved.
std::uint64_t running_jobs(const Context& context, const host::EnclaveRecord& record) {
  constexpr std::string_view kGauge = "\ncloister_jobs_running ";
  if (!record.alive()) return 0;
  auto session = context.open_session(record, "");
  if (!session) return 0;
  auto response = session->request({.target = "/v1/metrics"});
  if (!response) return 0;
  auto at = response->body.find(kGauge);
  return at == std::string::npos ? 0
                                 : std::strtoull(response->body.c_str() + at + kGauge.size(), nullptr, 10);
}

bool says_yes(std::string_view question) {
  fmt::print(stderr, "cloister: {} [y/N] ", question);
  std::array<char, 16> answer{};
  return std::fgets(answer.data(), answer.size(), stdin) != nullptr && (answer[0] == 'y' || answer[0] == 'Y');
}

Status check_jobs(const Context& context, const host::EnclaveRecord& record) {
  auto jobs = running_jobs(context, record);
  if (jobs == 0) return {};
  auto busy = fmt::format("enclave '{}' runs {} job(s), which would end", record.name, jobs);
  bool person = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
  if (person && says_yes(busy + ". End it?")) return {};
  if (person) return fail(ErrorKind::denied, "left as it is");
  Error error(ErrorKind::denied, std::move(busy));
  return std::unexpected(std::move(error).with_hint("wait for them, or: cloister down --force"));
}

Result<int> down(const Context& context, const Options& options) {
  const auto& name = options.name;
  auto record = TRY(host::read_record(context.paths, name));
  if (!record.own) return fail(ErrorKind::denied, "enclave '{}' was started by somebody else", name);
  if (!options.force) TRY(check_jobs(context, record));
  for (const auto& mount : host::list_mounts(context.paths, name))
    TRY(host::stop_mount(context.paths, mount));
  TRY(host::stop_proxy(context.paths, name));
  TRY(host::stop_enclave(context.paths, context.environment, record));
  fmt::print(stderr, "cloister: enclave '{}' is down; its memory and everything in it is gone\n", name);
  return 0;
}

}  // namespace

void add_down(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("down", "End an enclave, its jobs, its shared folders and its proxy")
      .text("--name", options->name, "the enclave's name")
      .flag("--force", options->force, "even while jobs run")
      .example("cloister down")
      .action([&context, options] { return down(context, *options); });
}

}  // namespace cloister::cli
