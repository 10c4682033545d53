#include "host/job_list.h"

#include <nlohmann/json.hpp>

#include "http/json.h"

namespace cloister::host {

namespace {

using http::Json;

constexpr std::string_view kBetweenWalls = "; ";

std::string text_of(const Json& object, std::string_view name) {
  const auto* text = http::find_text(object, name);
  return text == nullptr ? std::string() : std::string(std::string_view(*text));
}

std::optional<int> exit_code_of(const Json& job) {
  auto at = job.find("exit_code");
  bool plausible = at != job.end() && at->is_number_integer() && *at >= 0 && *at <= 255;
  return plausible ? std::optional(at->get<int>()) : std::nullopt;
}

JobSummary summary_of(const Json& job) {
  JobSummary out{.id = text_of(job, "id"),
                 .state = text_of(job, "state"),
                 .name = text_of(job, "name"),
                 .release = text_of(job, "release"),
                 .entry = text_of(job, "entry"),
                 .weaker = text_of(job, "weaker"),
                 .exit_code = exit_code_of(job)};
  auto error = job.find("error");
  if (error != job.end()) out.error = text_of(*error, "message");
  return out;
}

}  // namespace

Result<std::vector<JobSummary>> parse_jobs(std::string_view body) {
  auto malformed = [] { return fail(ErrorKind::corrupt, "the enclave's answer is not the documented one"); };
  auto object = http::parse_json(body);
  if (!object || !object->is_object()) return malformed();
  auto jobs = object->find("jobs");
  if (jobs == object->end() || !jobs->is_array() || jobs->size() > kMaxListedJobs) return malformed();
  std::vector<JobSummary> out;
  for (const auto& job : *jobs) {
    if (!job.is_object()) return malformed();
    out.push_back(summary_of(job));
  }
  return out;
}

Result<std::vector<JobSummary>> list_jobs(Session& session) {
  return parse_jobs(TRY(session.request({.target = "/v1/jobs"})).body);
}

// A job that exited or runs has its walls; so has one that says what it lacked.
std::optional<std::vector<std::string>> weaker_walls(const std::vector<JobSummary>& jobs) {
  for (const auto& job : jobs) {
    if (job.weaker.empty() && job.state != "exited" && job.state != "running") continue;
    std::vector<std::string> walls;
    for (std::string_view rest = job.weaker; !rest.empty();) {
      auto end = std::min(rest.find(kBetweenWalls), rest.size());
      walls.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + kBetweenWalls.size(), rest.size()));
    }
    return walls;
  }
  return std::nullopt;
}

}  // namespace cloister::host
