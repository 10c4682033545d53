#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/job_client.h"

namespace cloister::cli {

namespace {

using nlohmann::json;

struct Options {
  std::string name = host::kDefaultEnclave;
  std::string id;
  bool json = false;
};

std::string text_of(const json& job, const char* name) {
  auto at = job.find(name);
  return at != job.end() && at->is_string() ? escape_controls(at->get<std::string>()) : std::string();
}

void print_job(const json& job) {
  auto end = job.contains("exit_code") && job["exit_code"].is_number()
                 ? fmt::format(" ({})", job["exit_code"].dump())
                 : "";
  fmt::print("{}  {:<10}{:<6} {} {}  {}\n", text_of(job, "id"), text_of(job, "state"), end,
             text_of(job, "name"), text_of(job, "release"), text_of(job, "entry"));
}

Result<host::Session> open(const Context& context, const Options& options) {
  return context.open_session(TRY(host::read_record(context.paths, options.name)), "");
}

Result<int> jobs(const Context& context, const Options& options) {
  auto session = TRY(open(context, options));
  auto response = TRY(session.request({.target = "/v1/jobs"}));
  if (options.json) {
    fmt::print("{}\n", response.body);
    return 0;
  }
  auto object = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object["jobs"].is_array())
    return fail(ErrorKind::corrupt, "the enclave's answer is not the documented one");
  for (const auto& job : object["jobs"]) print_job(job);
  return 0;
}

Result<int> cancel(const Context& context, const Options& options) {
  auto session = TRY(open(context, options));
  TRY(host::cancel_job(session, options.id));
  return 0;
}

}  // namespace

void add_jobs(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("jobs", "List your jobs, newest first")
      .flag("--json", options->json, "as JSON")
      .text("--name", options->name, "the enclave's name")
      .example("cloister jobs")
      .action([&context, options] { return jobs(context, *options); });
  line.verb("cancel", "End one of your jobs")
      .text("ID", options->id, "as `cloister jobs` shows it", true)
      .text("--name", options->name, "the enclave's name")
      .example("cloister cancel 3")
      .action([&context, options] { return cancel(context, *options); });
}

}  // namespace cloister::cli
