// The named limits of the shared folder; those of its messages are in fuse/limits.h. Both ends compile them
// in.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cloister::share {

inline constexpr std::size_t kMaxLanes = 16;    // request lanes of one mount
inline constexpr std::size_t kMaxSessions = 4;  // mounts of one share at the same time
inline constexpr std::size_t kMaxInodes =
    1U << 20;  // inodes one client may know; RLIMIT_NOFILE may set it lower
inline constexpr std::size_t kMaxHandles = 1U << 16;  // open files and directories of one client
inline constexpr std::size_t kMaxDirectories =
    1024;  // of them directories, of one mount: each may hold a part of its listing
inline constexpr std::size_t kMaxLockOwners =
    4096;                                        // programs that hold POSIX locks, for each file of theirs
inline constexpr std::size_t kMaxLocks = 16384;  // ranges that one mount holds locked
inline constexpr std::size_t kMaxWaitingLocks =
    1024;  // requests of one mount that wait for a lock; more: ENOLCK
inline constexpr std::size_t kMaxLockedFiles =
    4096;  // of one mount; past it every close is told to the enclave
inline constexpr std::size_t kMaxPidTokens =
    4096;  // programs that locked something; later ones have no number
inline constexpr std::size_t kMaxNamesPerInode =
    8;  // names remembered for invalidation; hard links past it wait 1 s
inline constexpr std::size_t kMaxDepth = 2048;  // directories above a link; deeper ones hide it
inline constexpr std::uint64_t kMaxCopy =
    64ULL * 1024 * 1024;  // bytes of one COPY_FILE_RANGE; longer ones come back short
inline constexpr std::size_t kMaxHostMade = 65536;  // links remembered as made by the client itself
inline constexpr std::size_t kMaxHostTargetBytes = 16 * 1024 * 1024;  // bytes of their targets together
inline constexpr std::size_t kMaxWatchedJobs = 256;                   // of one share at the same time
inline constexpr std::size_t kMaxPendingInvalidations =
    64;  // invalidate requests waiting in one server process

inline constexpr std::size_t kMaxUnsentBytes =
    4 * 1024 * 1024;  // of notifications that a mount's client has not taken yet

inline constexpr std::uint32_t kBlockSize = 4096;  // bytes; what stat(2) suggests for I/O

// How long the client's kernel may believe an attribute or a name without asking again, while its mount is
// the only one. Absent names are never believed: a job may make them.
inline constexpr std::uint64_t kLifetimeSeconds = 1;

// How often the mounts are told what has changed, while a job runs or there are several: half of what a
// change may take to show. Where comparing takes long, less often, so that it costs a tenth of the time, or
// every kMaxWatchPause.
inline constexpr std::chrono::milliseconds kWatchInterval{500};
inline constexpr int kWatchShare = 10;
inline constexpr std::chrono::milliseconds kMaxWatchPause{2000};
// How long a mount's client may take to confirm what it is told so, before the next turn: another mount's
// changes must not wait for one that stands still.
inline constexpr std::chrono::milliseconds kWatchTimeout{500};

inline constexpr std::chrono::seconds kHelloTimeout{10};
inline constexpr std::chrono::seconds kReplyTimeout{120};  // the client gives the enclave up after it
inline constexpr std::chrono::seconds kInvalidateTimeout{
    5};  // the enclave stops waiting for a client after it

}  // namespace cloister::share
