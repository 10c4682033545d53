// Detached processes: started with their output in a log, found again by pid and start time, ended politely
// and then surely.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/clock.h"

namespace cloister::host {

// Starts a program in a session of its own: standard input from /dev/null, output appended to the log (0600),
// no other descriptors, an empty environment. It is still this process's child. not_found: no such program.
Result<pid_t> start_in_background(const std::vector<std::string>& argv, const std::string& log);

// The same for a function of this program; it returns the exit code. keep: one descriptor that stays open in
// it.
Result<pid_t> fork_in_background(const std::function<int()>& body, const std::string& log, int keep = -1);

// SIGTERM, then SIGKILL after the timeout. Success if the process is not there, or if another one has its pid
// by now.
Status stop_in_background(pid_t pid, std::uint64_t started, sys::milliseconds timeout);

}  // namespace cloister::host
