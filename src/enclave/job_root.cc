#include "enclave/job_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "enclave/entry_point.h"
#include "sandbox/system_directories.h"

namespace cloister::enclave {

namespace {

using sandbox::Mount;

constexpr std::uint64_t kScratchBytes = 1ULL << 30;       // of /tmp
constexpr std::uint64_t kSharedMemoryBytes = 1ULL << 30;  // of /dev/shm
constexpr std::string_view kEncrypted = "encrypted";      // packages: not for the application to see
constexpr std::string_view kOutput = "output";

constexpr std::array<std::string_view, 22> kRuntimeNames{
    "app", "bin", "boot", "dev",  "etc", "home", "lib", "lib32", "lib64", "libx32", "media",
    "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys",   "tmp",   "usr",    "var"};

void add_files(sandbox::RootPlan& plan, uid_t user) {
  plan.files.push_back({"/etc/passwd", fmt::format("job:x:{0}:{0}::/tmp:/usr/sbin/nologin\n", user)});
  plan.files.push_back({"/etc/group", fmt::format("job:x:{}:\n", user)});
  plan.files.push_back({"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"});
  plan.files.push_back({"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"});
}

void add_own_directories(sandbox::RootPlan& plan, const JobRootRequest& request) {
  plan.mounts.push_back({.kind = Mount::Kind::bind,
                         .target = kPackageDirectory,
                         .source = request.package_directory,
                         .read_only = false});
  plan.mounts.push_back(
      {.kind = Mount::Kind::tmpfs,
       .target = "/tmp",
       .read_only = false,
       .tmpfs = {
           .size_bytes = kScratchBytes, .mode = 0700, .uid = request.job_user, .gid = request.job_user}});
  plan.shm = sandbox::TmpfsOptions{.size_bytes = kSharedMemoryBytes, .mode = 01777};
}

struct CloseListing {
  void operator()(DIR* listing) const { ::closedir(listing); }
};

Result<std::vector<std::string>> top_level_directories(const sys::Dir& share) {
  // A descriptor of its own: fdopendir takes it over and moves its position.
  sys::Fd own(::openat(share.descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return fail_errno("list the share");
  std::unique_ptr<DIR, CloseListing> listing(::fdopendir(own.get()));
  if (!listing) return fail_errno("list the share");
  own.release();
  std::vector<std::string> out;
  while (auto* entry = ::readdir(listing.get())) {
    std::string name = entry->d_name;
    struct stat info{};
    if (name == "." || name == "..") continue;
    if (::fstatat(share.descriptor(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(info.st_mode))
      continue;
    if (out.size() >= kMaxShareDirectoriesSeen) {
      return fail(ErrorKind::exhausted, "the share has more than {} top-level directories",
                  kMaxShareDirectoriesSeen);
    }
    out.push_back(std::move(name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

Status check_name(const std::string& name) {
  if (!is_runtime_name(name)) return {};
  Error error(ErrorKind::invalid,
              fmt::format("the shared folder's '{}' would hide the system's /{}", name, name));
  return std::unexpected(std::move(error).with_hint("rename that directory and the arguments that name it"));
}

void bind_share(JobRoot& root, const JobRootRequest& request, sys::Dir directory, const std::string& name,
                bool writable) {
  Mount mount{.kind = Mount::Kind::bind,
              .target = "/" + name,
              .source_fd = directory.descriptor(),
              .recursive = false,
              .read_only = !writable,
              .no_exec = true};
  if (request.map_ids) mount.ids = {{.stored = request.share_owner, .shown = request.job_user}};
  root.plan.mounts.push_back(std::move(mount));
  root.held.push_back(std::move(directory));
}

// A writable directory is made where the user has not: the application must not fail on a missing /output.
Result<sys::Dir> writable_directory(const JobRootRequest& request, const std::string& name) {
  auto made = [&](const sys::Dir& parent, const std::string& component) -> Result<sys::Dir> {
    auto directory = TRY(parent.make_dir(component, 0755));
    if (::fchown(directory.descriptor(), request.share_owner, request.share_owner) != 0)
      return fail_errno(component);
    return directory;
  };
  auto directory = TRY(made(*request.share, name).context(fmt::format("the share's '{}'", name)));
  if (name == kOutput && !request.output.empty())
    return made(directory, request.output).context("output directory");
  return directory;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Status add_share(JobRoot& root, const JobRootRequest& request) {
  const auto& terms = *request.terms;
  auto readable = TRY(top_level_directories(*request.share));
  if (terms.reads) {
    for (const auto& name : *terms.reads) {
      if (!contains(readable, name)) {
        Error error(ErrorKind::not_found,
                    fmt::format("the application reads '{}', which the shared folder does not have", name));
        return std::unexpected(
            std::move(error).with_hint(fmt::format("mkdir DIR/{} and put your data there", name)));
      }
    }
    readable = *terms.reads;
  }
  for (const auto& name : readable) {
    if (name == kEncrypted || contains(terms.writes, name)) continue;
    TRY(check_name(name));
    bind_share(root, request, TRY(request.share->open_dir(name)), name, false);
  }
  for (const auto& name : terms.writes) {
    TRY(check_name(name));
    bind_share(root, request, TRY(writable_directory(request, name)), name, true);
  }
  return {};
}

}  // namespace

bool is_runtime_name(std::string_view name) {
  return std::find(kRuntimeNames.begin(), kRuntimeNames.end(), name) != kRuntimeNames.end();
}

Result<JobRoot> plan_job_root(const JobRootRequest& request) {
  JobRoot root;
  sandbox::add_system_directories(root.plan);
  add_files(root.plan, request.job_user);
  add_own_directories(root.plan, request);
  TRY(add_share(root, request));
  return root;
}

}  // namespace cloister::enclave
