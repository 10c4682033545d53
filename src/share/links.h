// Which symbolic links and special files the client may see. A link that a job made could send the user's
// programs anywhere on the user's machine, because it is there that links are followed; at a fifo they would
// wait for ever.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::share {

// How many directories the target climbs before it descends: the count of ".." at its front. Nothing if it
// may lead anywhere: absolute, empty, too long, or with a ".." behind a name (the name may be a link, and
// lead elsewhere).
std::optional<std::size_t> climbs(std::string_view target);

// The links, fifos and sockets that the client made itself, by inode, target (of a link; else empty) and the
// directories where the client put them: a job that moves one, or whose own is given an inode number again,
// gains nothing. Links that anybody's would be shown for are not kept. Bounded; those past the limit are
// judged as a job's. Thread-safe; one table per share.
class HostMade {
 public:
  // `leaves`: it leads out of the share from there, or may, and the client wants it so.
  void made(ino_t inode, ino_t directory, std::string_view target, bool leaves);
  // The client gave the inode another name in `directory`.
  void placed(ino_t inode, ino_t from_directory, ino_t directory, bool leaves);
  // The inode has no name left and will never have one again.
  void gone(ino_t inode);
  std::size_t size() const;
  bool is_host_made(ino_t inode, ino_t directory, std::string_view target) const;
  // Whether the client put such a link where it leaves the share. One that did not must not come to by a
  // job's moving a directory above it.
  bool may_leave(ino_t inode) const;

 private:
  struct Made {
    std::string target;
    std::vector<ino_t> directories;
    bool leaves = false;
  };
  void erase(ino_t inode);
  mutable std::mutex mutex_;
  std::map<ino_t, Made> made_;
  std::size_t bytes_ = 0;
};

}  // namespace cloister::share
