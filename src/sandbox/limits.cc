#include "sandbox/limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace cloister::sandbox {

namespace {

// Not 0: the kernel ignores 0 when core_pattern is a pipe (systemd-coredump, apport), but takes 1 as "never",
// for pipes and files alike (core(5), and the comment on RLIMIT_CORE in fs/coredump.c).
constexpr std::uint64_t kNoCoreDump = 1;

Status set_limit(__rlimit_resource resource, std::uint64_t value, std::string_view what) {
  rlimit limit{value, value};
  if (::setrlimit(resource, &limit) == 0) return {};
  if (errno != EPERM) return fail_errno(what);
  if (::getrlimit(resource, &limit) != 0) return fail_errno(what);
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(resource, &limit) != 0) return fail_errno(what);
  return {};
}

Status set_limit(__rlimit_resource resource, std::optional<std::uint64_t> value, std::string_view what) {
  return value ? set_limit(resource, *value, what) : Status();
}

}  // namespace

Status apply_limits(const ResourceLimits& limits) {
  TRY(set_limit(RLIMIT_CORE, kNoCoreDump, "limit core dumps"));
  TRY(set_limit(RLIMIT_MSGQUEUE, std::uint64_t{0}, "limit message queues"));
  TRY(set_limit(RLIMIT_RTPRIO, std::uint64_t{0}, "limit real-time priority"));
  TRY(set_limit(RLIMIT_NICE, std::uint64_t{0}, "limit priority"));
  TRY(set_limit(RLIMIT_MEMLOCK, limits.locked_bytes, "limit locked memory"));
  TRY(set_limit(RLIMIT_STACK, limits.stack_bytes, "limit the stack"));
  TRY(set_limit(RLIMIT_NOFILE, limits.open_files, "limit open files"));
  TRY(set_limit(RLIMIT_FSIZE, limits.file_bytes, "limit file size"));
  TRY(set_limit(RLIMIT_DATA, limits.data_bytes, "limit data"));
  TRY(set_limit(RLIMIT_AS, limits.address_bytes, "limit address space"));
  TRY(set_limit(RLIMIT_CPU, limits.cpu_seconds, "limit processor time"));
  return set_limit(RLIMIT_NPROC, limits.processes, "limit processes");
}

}  // namespace cloister::sandbox
