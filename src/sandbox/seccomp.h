// seccomp: the system calls a process may make. The policies are tables (seccomp_policy.cc); this loads one.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace cloister::sandbox {

enum class Profile : std::uint8_t {
  job,       // applications: interpreters, native programs, threads, a shell; AF_UNIX only; no namespaces, no
             // mounts
  unpacker,  // reads a pipe, writes files below directories it has; one thread
  share_server,  // files below directory handles; talks on sockets it has; threads
  listener,      // accepts and talks on sockets it has; threads; opens no file for writing
  keeper,        // also connects (unix, TCP, vsock); threads; opens no file for writing
  module,        // talks on a socket it has and to /dev/nsm; one thread; opens nothing
};

std::string_view to_string(Profile profile);

// Loads the profile's filters for the calling thread and its future children. Needs no_new_privs.
// Calls that no table names fail with ENOSYS, so that libraries fall back; hostile ones and other
// architectures kill the process. Only the job may execve; everyone else is killed by it, and may map no
// executable memory. unavailable: kernel without seccomp filters.
Status load_seccomp(Profile profile);

}  // namespace cloister::sandbox
