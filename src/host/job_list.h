// A client's jobs as an enclave lists them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/session.h"

namespace cloister::host {

inline constexpr std::size_t kMaxListedJobs = 4096;

// One job; every text is the enclave's, and to be escaped before a terminal sees it.
struct JobSummary {
  std::string id;
  std::string state;
  std::string name;  // empty until the header has been verified
  std::string release;
  std::string entry;
  std::string weaker;  // "WALL: why; …": what this kernel or host lacks
  std::optional<int> exit_code;
  std::string error;

  bool ended() const { return state == "exited" || state == "failed" || state == "cancelled"; }
};

// The newest first. corrupt: not the documented answer.
Result<std::vector<JobSummary>> parse_jobs(std::string_view body);
Result<std::vector<JobSummary>> list_jobs(Session& session);

// The walls that the newest job which got as far as its walls did without; nullopt: none has got so far.
std::optional<std::vector<std::string>> weaker_walls(const std::vector<JobSummary>& jobs);

}  // namespace cloister::host
