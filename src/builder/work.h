// What the steps of a build share: a folder for what is temporary, programs that are started, and a voice.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/clock.h"

namespace cloister::builder {

// Told what is being done, one line each.
using Say = std::function<void(const std::string&)>;

// A folder that goes with its object, and all that is in it.
class WorkFolder {
 public:
  // Below `parent`, which must have room for a root file system.
  static Result<WorkFolder> create(const std::string& parent);
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder();
  const std::string& path() const { return path_; }
  std::string below(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  explicit WorkFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct Program {
  std::vector<std::string> words;              // the first is found on PATH
  std::map<std::string, std::string> changed;  // variables beside what the environment has
  std::string log;                             // file that gets its output
  std::string hint;                            // how to get the program
};

// Runs a program to its end: umask 022, LC_ALL=C.UTF-8, TZ=UTC, whatever the caller's are. Failing, the error
// has the last line that it wrote. not_found: no such program, with the hint.
Status run_program(const Program& program);

}  // namespace cloister::builder
