#include "enclave/shares.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>

#include "enclave/share_walls.h"
#include "sandbox/root.h"
#include "share/control.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

constexpr std::array<const char*, 4> kFolders{"encrypted", "dataset", "model", "output"};
constexpr const char* kGreetingName = "from_server.txt";
constexpr std::string_view kGreeting =
    "Hello from the enclave.\n\n"
    "This folder lives in the enclave's memory. Put encrypted packages into encrypted/ and your data into "
    "dataset/\n"
    "(a model of your own into model/, or anything into any directory you make: an application sees it under "
    "the "
    "same\nname). Results appear in output/.\n";
constexpr sys::milliseconds kQuietAfter{1000};  // without a change

Status furnish(const std::string& path, uid_t owner) {
  auto root = TRY(sys::Dir::open(path));
  for (const char* name : kFolders) {
    auto folder = TRY(root.make_dir(name, 0755));
    if (::fchown(folder.descriptor(), owner, owner) != 0) return fail_errno(name);
  }
  auto greeting = TRY(root.open_at(kGreetingName, O_WRONLY | O_CREAT | O_EXCL, 0644));
  TRY(sys::write_all(greeting.get(), as_bytes(kGreeting), kGreetingName));
  if (::fchown(greeting.get(), owner, owner) != 0) return fail_errno(kGreetingName);
  return {};
}

ShareSpace space_of(const std::string& path) {
  struct statfs info{};
  if (::statfs(path.c_str(), &info) != 0) return {};
  return {.bytes = (info.f_blocks - info.f_bfree) * static_cast<std::uint64_t>(info.f_bsize),
          .files = info.f_files - info.f_ffree};
}

}  // namespace

Result<Shares::Share*> Shares::make(const ClientId& client) {
  auto found = shares_.find(client);
  if (found != shares_.end()) return &found->second;
  if (shares_.size() >= kMaxClients)
    return fail(ErrorKind::exhausted, "{} clients have a share, as many as this enclave allows", kMaxClients);
  auto limit = TRY(first_limit());
  auto slot = shares_.size();
  Place place{.path = fmt::format("{}/{}", options_.directory, slot),
              .owner = kFirstShareUser + static_cast<uid_t>(slot) * kShareIds};
  TRY(sys::make_directories(place.path, 0755));
  auto tmpfs = TRY(sandbox::make_tmpfs({.size_bytes = limit.bytes,
                                        .inodes = limit.files,
                                        .mode = 0755,
                                        .uid = place.owner,
                                        .gid = place.owner},
                                       /*no_exec=*/true));
  TRY(sandbox::attach_mount(tmpfs.get(), place.path));
  TRY(furnish(place.path, place.owner));
  return &shares_.emplace(client, Share{std::move(place), limit, {}}).first->second;
}

Result<sys::MessageSocket> Shares::open(const ClientId& client) {
  auto* share = TRY(make(client));
  auto channel = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
  share->server.kill_and_reap();
  ShareWalls walls{.share = share->place.path,
                   .work_path = options_.work_path,
                   .owner = share->place.owner,
                   .required = options_.required_walls};
  share->server = TRY(fork_behind_share_walls(walls, channel.second.get(), log_, [&](ShareHandles handles) {
    share::ServerOptions options;
    options.proc_self_fd = std::move(handles.own_descriptors);
    return share::run_server(sys::MessageSocket(std::move(channel.second)), std::move(handles.root),
                             std::move(options));
  }));
  return sys::MessageSocket(std::move(channel.first));
}

std::vector<ShareSpace> Shares::spaces() const {
  std::vector<ShareSpace> out;
  out.reserve(shares_.size());
  for (const auto& [client, share] : shares_) out.push_back(space_of(share.place.path));
  return out;
}

Result<ShareSpace> Shares::first_limit() const {
  auto used = spaces();
  if (budget_.left(used) < kLeastShareBytes) {
    return fail(ErrorKind::exhausted, "the shared folders fill the {} MiB that this enclave has for them",
                budget_.total() >> 20);
  }
  used.push_back({});
  return budget_.limits(used).back();
}

std::optional<sys::milliseconds> Shares::balance_interval() const {
  if (!budget_.is_short_for(shares_.size())) return std::nullopt;
  return interval_;
}

void Shares::balance() {
  if (!balance_interval()) return;
  auto used = spaces();
  if (used != seen_) quiet_from_ = sys::Deadline::after(kQuietAfter);
  interval_ = quiet_from_.passed() ? budget_.quiet_interval(used) : kBalanceInterval;
  auto limits = budget_.limits(used);
  seen_ = std::move(used);
  auto limit = limits.begin();
  for (auto& [client, share] : shares_) {
    auto wanted = *limit++;
    // Refused while more than that was written since it was looked at: then the next turn says so.
    if (wanted != share.limit && sandbox::limit_tmpfs(share.place.path, wanted.bytes, wanted.files))
      share.limit = wanted;
  }
}

bool Shares::reap(pid_t pid) {
  for (auto& [client, share] : shares_) {
    if (share.server.pid() != pid) continue;
    (void)share.server.wait().has_value();
    return true;
  }
  return false;
}

Result<Shares::Place> Shares::find(const ClientId& client) const {
  auto found = shares_.find(client);
  if (found == shares_.end()) return fail(ErrorKind::not_found, "you have no shared folder in this enclave");
  return found->second.place;
}

}  // namespace cloister::enclave
