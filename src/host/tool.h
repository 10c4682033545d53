// Other people's programs: found on the PATH, run to their end, with what they print kept apart and bounded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/paths.h"
#include "sys/clock.h"

namespace cloister::host {

inline constexpr std::size_t kMaxToolOutput = 1024 * 1024;  // bytes, of each stream

struct ToolOutput {
  int code = 0;  // as a shell shows it
  std::string out;
  std::string err;
};

// One run: the program's name and its arguments. unavailable: it did not end in time and was killed.
// exhausted: it printed too much. not_found: no such program. A code other than 0 is no error here.
using RunTool =
    std::function<Result<ToolOutput>(const std::vector<std::string>& words, sys::milliseconds timeout)>;

// The absolute path of a program on the caller's PATH, or of one that is named by it.
Result<std::string> find_tool(const Environment& environment, const std::string& name);

// The environment of such a program, "NAME=value" each: PATH, HOME, LC_ALL=C and those of `names` that are
// set. No AWS credentials, which a program that stays would keep.
std::vector<std::string> tool_environment(const Environment& environment,
                                          const std::vector<std::string>& names);

// Runs programs of this PATH in this environment, standard input empty, in a session of their own: Ctrl-C at
// a terminal is the caller's to handle.
RunTool system_tools(const Environment& environment, std::vector<std::string> variables);

// For a child that becomes `path`; returns only if that fails. Nothing is inherited but descriptors 0 to 2.
int become_tool(const std::string& path, const std::vector<std::string>& words,
                const std::vector<std::string>& variables);

}  // namespace cloister::host
