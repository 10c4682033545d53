#include "share/filesystem.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "fuse/limits.h"
#include "fuse/notification.h"
#include "fuse/request.h"
#include "share/limits.h"

namespace cloister::share {

namespace {

constexpr std::size_t kSpareDescriptors = 128;  // lanes, control, and what an operation opens for a moment
constexpr std::size_t kMaxTold = 4096;          // notifications sent at once, before the client is waited for
constexpr std::size_t kMaxDropped = 4096;       // inodes that the client is asked to let go of at a time
constexpr std::int64_t kTick = 10'000'000;      // nanoseconds between two times that a file can have
constexpr mode_t kStripped = S_ISUID | S_ISGID;  // bits that no file of a share has in the client's eyes

// Nanoseconds of CLOCK_REALTIME, a tick late, for times are kept in ticks.
std::int64_t changed_at(const struct stat& info) {
  return info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec + kTick;
}

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kFreedAfterRemoval{1000};  // by then the client's kernel has let go
// A file that another lane still uses is freed a moment after its RELEASE or FORGET, unannounced.
constexpr std::chrono::milliseconds kFreedCheck{50};

bool removes(const fuse::Body& body) {
  return std::holds_alternative<fuse::Unlink>(body) || std::holds_alternative<fuse::RemoveDir>(body) ||
         std::holds_alternative<fuse::Rename>(body);
}

bool frees(const fuse::Body& body) {
  return std::holds_alternative<fuse::Release>(body) || std::holds_alternative<fuse::Forget>(body) ||
         std::holds_alternative<fuse::BatchForget>(body);
}

// Inodes and handles are descriptors: those of all mounts together cannot be more than the process may have.
// The inodes are divided where there are several mounts (know); the others are, once and for all.
void fit_limits(ServerOptions& options) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  std::size_t all = std::max<std::size_t>(limit.rlim_cur, 2 * kSpareDescriptors) - kSpareDescriptors;
  options.max_handles = std::min(options.max_handles, all / 4 / options.mounts);
  options.max_lock_owners = std::min(options.max_lock_owners, all / 16 / options.mounts);
  auto others = options.mounts * (options.max_handles + options.max_lock_owners);
  options.max_inodes = std::min(options.max_inodes, all - others);
}

}  // namespace

void ReplyBody::put(ByteView bytes) {
  std::copy(bytes.begin(), bytes.end(), room_.subspan(size_, bytes.size()).begin());
  size_ += bytes.size();
}

mode_t shown_mode(mode_t mode) {
  return mode & ~kStripped;
}

fuse_attr attributes_of(const struct stat& info) {
  auto seconds = [](const timespec& time) { return static_cast<std::uint64_t>(time.tv_sec); };
  auto rest = [](const timespec& time) { return static_cast<std::uint32_t>(time.tv_nsec); };
  fuse_attr out{};
  out.ino = info.st_ino;
  out.size = static_cast<std::uint64_t>(info.st_size);
  out.blocks = static_cast<std::uint64_t>(info.st_blocks);
  out.atime = seconds(info.st_atim);
  out.mtime = seconds(info.st_mtim);
  out.ctime = seconds(info.st_ctim);
  out.atimensec = rest(info.st_atim);
  out.mtimensec = rest(info.st_mtim);
  out.ctimensec = rest(info.st_ctim);
  out.mode = shown_mode(info.st_mode);
  out.nlink = static_cast<std::uint32_t>(info.st_nlink);
  out.uid = info.st_uid;
  out.gid = info.st_gid;
  out.blksize = kBlockSize;
  return out;
}

void FileSystem::know(const Company& company) {
  other_mounts_ = company.mounts > 1;
  inodes_.set_limit(max_inodes_ / company.mounts);
  jobs_since_ = company.jobs_since;
  jobs_write_all_ = company.jobs_write_all;
}

std::uint64_t FileSystem::lifetime() const {
  return other_mounts_ ? 0 : kLifetimeSeconds;
}

fuse_entry_out FileSystem::entry_of(const Inode& inode, const struct stat& info) const {
  fuse_entry_out out{};
  out.nodeid = inode.id;
  out.entry_valid = out.attr_valid = lifetime();
  out.attr = attributes_of(info);
  return out;
}

Outcome<std::string> read_link(int path) {
  char target[fuse::kMaxSymlink + 1];
  ssize_t length = ::readlinkat(path, "", target, sizeof target);
  if (length < 0) return refuse_errno();
  if (static_cast<std::size_t>(length) > fuse::kMaxSymlink) return refuse(ENAMETOOLONG);
  return std::string(target, static_cast<std::size_t>(length));
}

Result<std::unique_ptr<FileSystem>> FileSystem::create(sys::Dir root, ServerOptions options) {
  if (!options.proc_self_fd) options.proc_self_fd = TRY(sys::Dir::open("/proc/self/fd"));
  if (options.host_made == nullptr) options.host_made = std::make_shared<HostMade>();
  sys::Fd path(::openat(root.descriptor(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat info{};
  if (!path || ::fstat(path.get(), &info) != 0) return fail_errno("the share's root");
  fit_limits(options);
  ::umask(0);
  std::unique_ptr<FileSystem> out(new FileSystem(std::move(path), info, std::move(options)));
  // Fails here rather than at the first file, if the handle on /proc/self/fd is another process's.
  auto again = out->reopen(out->inodes_.root()->handle.get(), O_PATH | O_DIRECTORY);
  struct stat seen{};
  if (!again || ::fstat(again->get(), &seen) != 0 || seen.st_ino != info.st_ino ||
      seen.st_dev != info.st_dev) {
    return fail(ErrorKind::system, "the share server cannot reach its own descriptors through /proc/self/fd");
  }
  return out;
}

FileSystem::FileSystem(sys::Fd root, const struct stat& info, ServerOptions options)
    : proc_self_fd_(std::move(options.proc_self_fd)),
      host_made_(std::move(options.host_made)),
      exclusive_(options.exclusive),
      device_(info.st_dev),
      inodes_(std::move(root), info, options.max_inodes),
      handles_(options.max_handles, options.max_directories),
      locks_(options.max_lock_owners),
      max_inodes_(options.max_inodes) {}

Outcome<void> FileSystem::run_once(const Caller& caller, const fuse::Body& body, ReplyBody& out) {
  return std::visit([&](const auto& request) { return run(caller, request, out); }, body);
}

void FileSystem::freed() {
  {
    std::lock_guard lock(freed_mutex_);
    ++freed_count_;
  }
  freed_changed_.notify_all();
}

bool FileSystem::await_freed(std::uint64_t seen, Clock::time_point end) {
  std::unique_lock lock(freed_mutex_);
  if (freed_count_ != seen) return true;
  // Where every lane waited, none would be left for what they wait for.
  if (Clock::now() >= end || !inodes_.has_orphans() || waiting_ + 1 >= lanes_) return false;
  ++waiting_;
  freed_changed_.wait_until(lock, std::min(end, Clock::now() + kFreedCheck),
                            [&] { return freed_count_ != seen; });
  --waiting_;
  return true;
}

// What the client removes is free once its kernel has said RELEASE and FORGET, which it does a moment later
// and on whichever lane: a full share is full only after that moment. An operation that fails with ENOSPC can
// be tried again: it has done nothing, or, where it replaces contents, nothing that it would not do anew.
Outcome<void> FileSystem::run(const Caller& caller, const fuse::Body& body, ReplyBody& out) {
  for (;;) {
    auto seen = freed_count_.load();
    auto done = run_once(caller, body, out);
    if (done && removes(body)) removed_ = Clock::now();
    if (frees(body)) freed();
    if (done || done.error().value != ENOSPC) return done;
    if (!await_freed(seen, removed_.load() + kFreedAfterRemoval)) return done;
  }
}

void FileSystem::forget_all() {
  locks_.clear();
  handles_.clear();
  inodes_.forget_all();
}

Outcome<sys::Fd> FileSystem::child(const Inode& parent, const char* name, int flags, mode_t mode) const {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd = ::syscall(SYS_openat2, parent.handle.get(), name, &how, sizeof how);
  if (fd < 0) return refuse(errno == EXDEV ? ENOENT : errno);
  return sys::Fd(static_cast<int>(fd));
}

Outcome<sys::Fd> FileSystem::reopen(int fd, int flags) const {
  int again = ::openat(proc_self_fd_.descriptor(), std::to_string(fd).c_str(), flags | O_CLOEXEC);
  if (again < 0) return refuse_errno();
  return sys::Fd(again);
}

Outcome<std::size_t> FileSystem::depth(const Inode& directory) const {
  sys::Fd above;
  int at = directory.handle.get();
  for (std::size_t count = 0; count <= kMaxDepth; ++count) {
    struct stat info{};
    if (::fstat(at, &info) != 0) return refuse_errno();
    if (info.st_dev != device_) return refuse(EXDEV);
    if (info.st_ino == inodes_.root()->number) return count;
    above = sys::Fd(::openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!above) return refuse_errno();
    at = above.get();
  }
  return refuse(ELOOP);
}

// The client's kernel follows the link, from where it has the directory: not where a job has moved it since.
bool FileSystem::stays_inside(const Inode& parent, std::string_view target) const {
  auto up = climbs(target);
  if (!up) return false;
  if (*up == 0) return true;
  auto below_root = depth(parent);
  return below_root && *up <= std::min(*below_root, inodes_.least_depth(parent));
}

bool FileSystem::leads_out(const Inode& directory, int path) const {
  auto target = read_link(path);
  return target && !stays_inside(directory, *target);
}

bool FileSystem::link_visible(const Inode& parent, ino_t link, std::string_view target) const {
  if (host_made_->is_host_made(link, parent.number, target))
    return host_made_->may_leave(link) || stays_inside(parent, target);
  // A job that runs could move the directory between this answer and the client's next step upwards.
  bool still = jobs_since_ == kNever || climbs(target) == 0;
  return still && stays_inside(parent, target);
}

bool FileSystem::visible(const Inode& parent, int path, const struct stat& info) const {
  if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) return true;
  if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))
    return host_made_->is_host_made(info.st_ino, parent.number, {});
  if (!S_ISLNK(info.st_mode)) return false;
  auto target = read_link(path);
  return target && link_visible(parent, info.st_ino, *target);
}

Outcome<FileSystem::Found> FileSystem::introduce(const Inode& parent, std::string_view name, sys::Fd path) {
  Found found;
  if (::fstat(path.get(), &found.info) != 0) return refuse_errno();
  if (!visible(parent, path.get(), found.info)) return refuse(ENOENT);
  found.inode = TRY(inodes_.reference(std::move(path), found.info));
  if (!inodes_.name(*found.inode, parent.id, name)) {
    inodes_.forget(found.inode->id, 1);
    return refuse(ENOENT);
  }
  inodes_.tell(*found.inode, found.info);
  return found;
}

Outcome<FileSystem::Found> FileSystem::look_up(const Inode& parent, const char* name) {
  return introduce(parent, name, TRY(child(parent, name, O_PATH)));
}

bool FileSystem::still_leads(const Entry& entry, const Inode& inode) const {
  auto parent = inodes_.find(entry.parent);
  if (!parent) return false;
  auto path = child(**parent, entry.name.c_str(), O_PATH);
  struct stat info{};
  if (!path || ::fstat(path->get(), &info) != 0 || info.st_ino != inode.number) return false;
  return visible(**parent, path->get(), info);
}

bool FileSystem::up_to_date(const Inode& inode, const struct stat& info) const {
  // A job that has a file mapped changes it without a trace.
  bool jobs_run = S_ISREG(info.st_mode) && jobs_since_ != kNever;
  if (jobs_run && (jobs_write_all_ || changed_at(info) >= jobs_since_)) return false;
  if (jobs_run && inodes_.may_be_below(inode, kJobOutput)) return false;
  return inodes_.unchanged(inode, info);
}

void FileSystem::add_changes(Inode& inode, std::vector<Bytes>& out) {
  struct stat info{};
  if (::fstat(inode.handle.get(), &info) != 0) return;
  bool changed = !up_to_date(inode, info);
  if (changed) {
    out.push_back(fuse::encode_inval_inode(inode.id));
    inodes_.renew(inode, info);
  }
  // The writeback cache believes the server of an inode that is new to it, and of no other: a changed file
  // loses its names, so that it is looked up anew.
  bool drop_names = changed && exclusive_ && S_ISREG(inode.type);
  for (const auto& entry : inodes_.entries(inode)) {
    bool leads = still_leads(entry, inode);
    if (leads && !drop_names) continue;
    out.push_back(fuse::encode_inval_entry(entry.parent, entry.name));
    if (!leads) inodes_.unname(inode, entry.parent, entry.name);
  }
}

Status FileSystem::changed(const Tell& tell) {
  std::vector<Bytes> some;
  for (const auto& inode : inodes_.all()) {
    add_changes(*inode, some);
    if (some.size() < kMaxTold) continue;
    TRY(tell(some));
    some.clear();
  }
  return tell(some);
}

std::vector<Bytes> FileSystem::surplus() {
  std::vector<Bytes> out;
  for (const auto& inode : inodes_.idle(std::min(inodes_.limit() / 8, kMaxDropped))) {
    for (const auto& entry : inodes_.entries(*inode))
      out.push_back(fuse::encode_drop_entry(entry.parent, entry.name));
  }
  return out;
}

}  // namespace cloister::share
