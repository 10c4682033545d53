// What a job sees: the runtime, its package, the caller's folders, and nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "package/manifest.h"
#include "sandbox/root.h"
#include "sys/dir.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxShareDirectoriesSeen = 128;  // top-level directories of a share

struct JobRootRequest {
  std::string package_directory;          // unpacked, in the caller's namespace
  const sys::Dir* share = nullptr;        // the client's share
  const package::Terms* terms = nullptr;  // what the manifest lets it read and write
  std::string output;                     // directory below the share's output/, or empty
  uid_t share_owner = 0;
  uid_t job_user = 0;
  bool map_ids = false;  // idmapped binds: files that the job makes belong to the share's owner
};

// A plan whose binds hold descriptors in `held`, which must live until the root is assembled.
struct JobRoot {
  sandbox::RootPlan plan;
  std::vector<sys::Dir> held;
};

// invalid: a folder of the share has a name that the runtime owns. not_found: a directory that the manifest
// reads or writes is missing.
Result<JobRoot> plan_job_root(const JobRootRequest& request);

// Whether a top-level directory of a share may not be shown under this name ("usr", "etc", "app", …).
bool is_runtime_name(std::string_view name);

}  // namespace cloister::enclave
