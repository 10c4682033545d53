// Mounted shares: a pump process for each, detached, found again, ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/enclave_record.h"
#include "share/pump.h"

namespace cloister::host {

inline constexpr std::size_t kDefaultLanes = 4;

struct MountRecord {
  std::string enclave;
  std::string directory;  // absolute, without links
  pid_t pid = -1;         // of the pump
  std::uint64_t started = 0;
  bool alive() const { return started != 0 && process_start_time(pid) == started; }
};

// What a mount's pump has carried so far.
struct MountTraffic {
  std::uint64_t requests = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
};

struct SyncOptions {
  std::string directory;
  bool read_only = false;
  bool allow_other = false;
  bool exclusive = false;  // no other mount of the share; its price is in docs/guide.md
  share::Ownership ownership = share::Ownership::mounting_user;
  std::size_t lanes = kDefaultLanes;
};

struct LaneTickets {
  std::vector<std::string> requests;  // in hexadecimal
  std::string notifier;
};
struct OpenedLanes {
  share::Lanes lanes;
  std::uint32_t max_write = fuse::kMaxWrite;  // bytes: the least that any lane's hello agreed to
};
// A connection and a hello for each ticket. exhausted: more lanes than the enclave allows.
Result<OpenedLanes> greet_lanes(const sys::Endpoint& lanes, const LaneTickets& tickets);
// The lanes of a new mount, with tickets that were asked for over the session.
Result<OpenedLanes> open_lanes(Session& session, const sys::Endpoint& lanes, const SyncOptions& options);

using OpenSession = std::function<Result<Session>()>;

// Mounts and pumps in the background; returns when the folder can be used. invalid: not a directory, not
// empty, or mounted already.
Result<MountRecord> start_mount(const Paths& paths, const EnclaveRecord& enclave,
                                const OpenSession& open_session, const SyncOptions& options);
// Mounts and pumps in this process until unmounted, or told to end by SIGINT, SIGTERM or SIGHUP (success).
Status run_in_foreground(const Paths& paths, const EnclaveRecord& enclave, const OpenSession& open_session,
                         const SyncOptions& options, const std::function<void()>& on_mounted);

std::vector<MountRecord> list_mounts(const Paths& paths, const std::string& enclave);
// nullopt: the mount was made by another release, or has just ended.
std::optional<MountTraffic> traffic_of(const Paths& paths, const MountRecord& mount);
// The mount of this directory, of whichever enclave. not_found: none.
Result<MountRecord> find_mount(const Paths& paths, const std::string& directory);
// Writes back what this machine's kernel still holds of an enclave's mounted folders (mapped pages; with
// --exclusive, everything): afterwards a job sees it.
Status write_back_mounts(const Paths& paths, const std::string& enclave);
// Unmounts and waits for the pump to end.
Status stop_mount(const Paths& paths, const MountRecord& mount);

}  // namespace cloister::host
