// Dir: a directory handle. Everything below it is named by checked components and resolved by openat2(2) with
// RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS: no string can leave it, no link is followed.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.h"

namespace cloister::sys {

inline constexpr std::size_t kMaxComponent = 255;  // bytes (NAME_MAX)
inline constexpr std::size_t kMaxPath = 4096;      // bytes (PATH_MAX)

// One path component: 1 to 255 bytes, no slash, no NUL, not "." or "..".
Status check_component(std::string_view name);

// "a/b/c" → components, each checked. Refuses absolute paths, empty components and everything check_component
// does.
Result<std::vector<std::string>> split_relative(std::string_view path);

class Dir {
 public:
  Dir() = default;
  explicit Dir(Fd fd) : fd_(std::move(fd)) {}
  // A path that we chose ourselves (command line, configuration): links are followed here, and only here.
  static Result<Dir> open(const std::string& path);

  // Opens a relative path below, following no link. flags as for open(2); O_CLOEXEC is added.
  Result<Fd> open_at(std::string_view relative, int flags, mode_t mode = 0) const;
  Result<Dir> open_dir(std::string_view relative) const;
  // A regular file for reading: non-blocking open, so that a fifo cannot stall, then checked to be regular.
  Result<Fd> open_regular(std::string_view relative) const;
  // Creates the directory where it is missing, and opens it.
  Result<Dir> make_dir(std::string_view component, mode_t mode) const;

  int descriptor() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Fd fd_;
};

}  // namespace cloister::sys
