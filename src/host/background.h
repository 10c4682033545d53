// Detached processes: started with their output in a log, found again by pid and start time, ended politely
// and then surely.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/clock.h"

namespace cloister::host {

// Holds SIGINT, SIGTERM and SIGHUP back while something half made could be left behind. What came meanwhile
// takes effect when this goes: whoever holds it looks at came(), and tidies up first.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  bool came() const;

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// Starts a program in a session of its own: standard input from /dev/null, output appended to the log (0600),
// no other descriptors, an empty environment. It is still this process's child. not_found: no such program.
Result<pid_t> start_in_background(const std::vector<std::string>& argv, const std::string& log);

// The same for a function of this program; it returns the exit code. Of the environment it keeps the
// variables that such a function may need, and no credentials. keep: one descriptor that stays open in it.
Result<pid_t> fork_in_background(const std::function<int()>& body, const std::string& log, int keep = -1);

// SIGTERM, then SIGKILL after the timeout. Success if the process is not there, or if another one has its pid
// by now.
Status stop_in_background(pid_t pid, std::uint64_t started, sys::milliseconds timeout);

}  // namespace cloister::host
