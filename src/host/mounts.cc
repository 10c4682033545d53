#include "host/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "host/background.h"
#include "host/shared_page.h"
#include "host/unmount_on_signal.h"
#include "host/write_back.h"
#include "share/lane.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr std::string_view kMounted = "mounted";  // what the pump says first
// What is dirty is written first; a pump whose enclave does not answer ends by itself.
constexpr sys::milliseconds kUnmountTimeout = sys::seconds(60);
constexpr sys::milliseconds kSignalCheck{50};

std::string mounts_directory(const Paths& paths, const std::string& enclave) {
  return paths.enclave(enclave) + "/mounts";
}

// The files of one mount, named by a digest: a directory's own name may hold anything.
std::string file_of(const Paths& paths, const MountRecord& mount, std::string_view suffix) {
  auto digest = crypto::sha256(as_bytes(mount.directory));
  return fmt::format("{}/{}{}", mounts_directory(paths, mount.enclave), to_hex(ByteView(digest).first(12)),
                     suffix);
}
std::string record_path(const Paths& paths, const MountRecord& mount) {
  return file_of(paths, mount, ".json");
}
std::string traffic_path(const Paths& paths, const MountRecord& mount) {
  return file_of(paths, mount, ".traffic");
}

Status write_mount(const Paths& paths, const MountRecord& mount) {
  TRY(sys::make_directories(mounts_directory(paths, mount.enclave), 0700));
  json object{{"enclave", mount.enclave},
              {"directory", mount.directory},
              {"pid", mount.pid},
              {"started", mount.started}};
  return sys::write_file_atomic(record_path(paths, mount), as_bytes(object.dump(2)), 0600);
}

std::optional<MountRecord> read_mount(const std::string& path) {
  auto bytes = sys::read_file(path, kMaxRecord);
  if (!bytes) return std::nullopt;
  auto object = json::parse(bytes->begin(), bytes->end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  MountRecord out;
  try {
    out.enclave = object.at("enclave").get<std::string>();
    out.directory = object.at("directory").get<std::string>();
    out.pid = object.at("pid").get<pid_t>();
    out.started = object.at("started").get<std::uint64_t>();
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return out;
}

void forget_mount(const Paths& paths, const MountRecord& mount) {
  ::unlink(record_path(paths, mount).c_str());
  ::unlink(traffic_path(paths, mount).c_str());
}

Result<bool> is_mount_point(const std::string& path) {
  struct stat here{};
  struct stat above{};
  if (::stat(path.c_str(), &here) != 0 || ::stat((path + "/..").c_str(), &above) != 0)
    return fail_errno(path);
  return here.st_dev != above.st_dev;
}

// A directory that may be covered by a mount: made where it is missing, empty, and not a mount point yet.
Result<std::string> check_mount_point(const std::string& directory) {
  struct stat named{};
  if (::stat(directory.c_str(), &named) == 0 && !S_ISDIR(named.st_mode))
    return fail(ErrorKind::invalid, "{} is not a directory", directory);
  TRY(share::remove_dead_mount(directory));
  TRY(sys::make_directories(directory, 0755));
  std::error_code error;
  auto path = std::filesystem::canonical(directory, error);
  if (error) return fail(ErrorKind::invalid, "{}: {}", directory, error.message());
  if (TRY(is_mount_point(path.string()).context(directory))) {
    Error mounted(ErrorKind::invalid, fmt::format("{} is a mount point already", directory));
    return std::unexpected(
        std::move(mounted).with_hint(fmt::format("run: cloister unsync -d {}", directory)));
  }
  if (!std::filesystem::is_empty(path, error)) {
    Error full(ErrorKind::invalid,
               fmt::format("{} is not empty: the mount would hide what is in it", directory));
    return std::unexpected(
        std::move(full).with_hint("choose an empty directory, and copy the files into it afterwards"));
  }
  return path.string();
}

share::PumpOptions pump_options(const SyncOptions& options, std::uint32_t max_write,
                                share::Traffic* traffic) {
  return {.ownership = options.ownership,
          .uid = ::getuid(),
          .gid = ::getgid(),
          .exclusive = options.exclusive,
          .max_write = max_write,
          .traffic = traffic};
}

struct OpenedLane {
  std::unique_ptr<sys::Stream> stream;
  share::HelloReply agreed;
};

Result<OpenedLane> open_lane(const sys::Endpoint& lanes, share::LaneKind kind, const std::string& ticket) {
  auto raw = TRY(from_hex(ticket));
  share::Hello hello{.kind = kind};
  if (raw.size() != hello.ticket.size())
    return fail(ErrorKind::corrupt, "the enclave sent a malformed ticket");
  std::copy(raw.begin(), raw.end(), hello.ticket.begin());
  auto stream =
      std::make_unique<sys::FdStream>(TRY(sys::connect(lanes, sys::Deadline::after(kConnectTimeout))));
  auto agreed = TRY(share::greet(*stream, hello));
  return OpenedLane{std::move(stream), agreed};
}

// What the pump's process says once the folder is usable, or why it is not: message, line feed, hint.
Status await_pump(int ready, pid_t pid, const std::string& log, const HeldSignals& held) {
  while (!sys::wait_for(ready, POLLIN, sys::Deadline::after(kSignalCheck), "pump")) {
    if (!held.came()) continue;
    TRY(stop_in_background(pid, process_start_time(pid), kUnmountTimeout));
    return fail(ErrorKind::unavailable, "interrupted");
  }
  auto said = TRY(sys::read_all(ready, kMaxRecord, "pump"));
  auto text = as_text(said);
  if (text == kMounted) return {};
  ::waitpid(pid, nullptr, 0);
  if (text.empty()) return fail(ErrorKind::internal, "the process behind the folder died: see {}", log);
  auto end = std::min(text.find('\n'), text.size());
  Error error(ErrorKind::unavailable, std::string(text.substr(0, end)));
  return std::unexpected(
      std::move(error).with_hint(std::string(text.substr(std::min(end + 1, text.size())))));
}

}  // namespace

Result<OpenedLanes> greet_lanes(const sys::Endpoint& lanes, const LaneTickets& tickets) {
  OpenedLanes out;
  auto agree = [&](OpenedLane lane) -> Result<std::unique_ptr<sys::Stream>> {
    if (tickets.requests.size() > lane.agreed.max_lanes)
      return fail(ErrorKind::exhausted, "the enclave allows {} lanes, not {}", lane.agreed.max_lanes,
                  tickets.requests.size());
    out.max_write = std::min(out.max_write, lane.agreed.max_write);
    return std::move(lane.stream);
  };
  for (const auto& ticket : tickets.requests)
    out.lanes.requests.push_back(TRY(agree(TRY(open_lane(lanes, share::LaneKind::requests, ticket)))));
  out.lanes.notifications =
      TRY(agree(TRY(open_lane(lanes, share::LaneKind::notifications, tickets.notifier))));
  return out;
}

Result<OpenedLanes> open_lanes(Session& session, const sys::Endpoint& lanes, const SyncOptions& options) {
  http::Request request{.method = "POST", .target = "/v1/share"};
  request.fields.set("Content-Type", "application/json");
  request.body = json{{"lanes", options.lanes}, {"exclusive", options.exclusive}}.dump();
  auto response = TRY(session.request(request));
  auto object = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  LaneTickets tickets;
  try {
    tickets.requests = object.at("tickets").get<std::vector<std::string>>();
    tickets.notifier = object.at("notifier").get<std::string>();
  } catch (const json::exception&) {
    return fail(ErrorKind::corrupt, "the enclave's answer is not the documented one");
  }
  if (tickets.requests.size() != options.lanes)
    return fail(ErrorKind::corrupt, "the enclave gave {} tickets, not {}", tickets.requests.size(),
                options.lanes);
  return greet_lanes(lanes, tickets);
}

namespace {

Status run_mount(const EnclaveRecord& enclave, const OpenSession& open_session, const SyncOptions& options,
                 const std::function<void()>& on_mounted, share::Traffic* traffic) {
  auto directory = TRY(check_mount_point(options.directory));
  auto session = TRY(open_session());
  auto opened = TRY(open_lanes(session, enclave.lanes, options));
  auto mount = TRY(
      share::Mount::mount(directory, {.allow_other = options.allow_other, .read_only = options.read_only}));
  auto watch = TRY(UnmountOnSignal::watch(mount, opened.lanes, *traffic));
  on_mounted();
  auto pumped = share::pump(mount, std::move(opened.lanes), pump_options(options, opened.max_write, traffic));
  if (watch->told()) return {};
  return pumped;
}

}  // namespace

// The background process does all of it, so that the mount, the lanes and the key of the session are in one
// place only.
Result<MountRecord> start_mount(const Paths& paths, const EnclaveRecord& enclave,
                                const OpenSession& open_session, const SyncOptions& options) {
  MountRecord record{.enclave = enclave.name, .directory = TRY(check_mount_point(options.directory))};
  SyncOptions absolute = options;
  absolute.directory = record.directory;
  auto log_path = paths.enclave(enclave.name) + "/pump.log";
  TRY(sys::make_directories(mounts_directory(paths, enclave.name), 0700));
  auto traffic = TRY(SharedPage<share::Traffic>::create(traffic_path(paths, record)));
  auto ready = TRY(sys::make_pipe());
  HeldSignals held;
  record.pid = TRY(fork_in_background(
      [&] {
        auto tell = [&](std::string_view text) {
          (void)sys::write_all(ready.write.get(), as_bytes(text), "ready").has_value();
          ready.write.reset();
        };
        auto pumped = run_mount(enclave, open_session, absolute, [&] { tell(kMounted); }, traffic.get());
        if (pumped) return 0;
        Log(STDERR_FILENO, "sync").error("{}: {}", record.directory, pumped.error().message());
        if (ready.write) tell(fmt::format("{}\n{}", pumped.error().message(), pumped.error().hint()));
        return 1;
      },
      log_path, ready.write.get()));
  ready.write.reset();
  TRY(await_pump(ready.read.get(), record.pid, log_path, held));
  record.started = process_start_time(record.pid);
  TRY(write_mount(paths, record));
  return record;
}

// Recorded like one in the background, so that `status`, `unsync` and `down` find it.
Status run_in_foreground(const Paths& paths, const EnclaveRecord& enclave, const OpenSession& open_session,
                         const SyncOptions& options, const std::function<void()>& on_mounted) {
  MountRecord record{.enclave = enclave.name, .directory = TRY(check_mount_point(options.directory))};
  record.pid = ::getpid();
  record.started = process_start_time(record.pid);
  TRY(sys::make_directories(mounts_directory(paths, enclave.name), 0700));
  auto traffic = TRY(SharedPage<share::Traffic>::create(traffic_path(paths, record)));
  Status recorded;
  auto mounted = [&] {
    recorded = write_mount(paths, record);
    on_mounted();
  };
  auto pumped = run_mount(enclave, open_session, options, mounted, traffic.get());
  forget_mount(paths, record);
  TRY(std::move(pumped));
  return recorded;
}

std::vector<MountRecord> list_mounts(const Paths& paths, const std::string& enclave) {
  std::vector<MountRecord> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(mounts_directory(paths, enclave), error)) {
    if (entry.path().extension() != ".json") continue;
    auto mount = read_mount(entry.path().string());
    if (!mount) continue;
    if (mount->alive()) {
      out.push_back(*std::move(mount));
    } else {
      (void)share::remove_dead_mount(mount->directory).has_value();  // of a pump that was killed
      forget_mount(paths, *mount);
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.directory < b.directory; });
  return out;
}

std::optional<MountTraffic> traffic_of(const Paths& paths, const MountRecord& mount) {
  return read_page<MountTraffic, share::Traffic>(traffic_path(paths, mount));
}

Result<MountRecord> find_mount(const Paths& paths, const std::string& directory) {
  auto absolute = std::filesystem::absolute(directory).lexically_normal().string();
  if (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  for (const auto& enclave : list_records(paths)) {
    for (auto& mount : list_mounts(paths, enclave.name)) {
      if (mount.directory == absolute) return mount;
    }
  }
  return fail(ErrorKind::not_found, "{} is not a synced folder", directory);
}

Status write_back_mounts(const Paths& paths, const std::string& enclave) {
  for (const auto& mount : list_mounts(paths, enclave)) TRY(write_back(mount.directory));
  return {};
}

Status stop_mount(const Paths& paths, const MountRecord& mount) {
  // The pump unmounts, whoever stands in the folder. One that does not listen is killed, and leaves its
  // mount.
  TRY(stop_in_background(mount.pid, mount.started, kUnmountTimeout));
  TRY(share::remove_dead_mount(mount.directory));
  forget_mount(paths, mount);
  return {};
}

}  // namespace cloister::host
