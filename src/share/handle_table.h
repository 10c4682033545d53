// The client's open files and directories. Thread-safe. One table per mount; numbers are never used twice.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/bytes.h"
#include "share/inode_table.h"
#include "share/outcome.h"

namespace cloister::share {

// An open regular file. Constant after it was made: I/O names its offsets.
struct OpenFile {
  sys::Fd fd;
  InodePtr inode;
};

// An open directory and the position of the last entry given out. What getdents64(2) returned beyond it stays
// in `buffer`, so that reading goes on where it was even if entries vanish meanwhile.
struct OpenDirectory {
  sys::Fd fd;
  InodePtr inode;
  std::mutex mutex;  // for what follows
  Bytes buffer;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::uint64_t position = 0;
};

class HandleTable {
 public:
  // `limit`: of both kinds together.
  HandleTable(std::size_t limit, std::size_t directory_limit)
      : limit_(limit), directory_limit_(directory_limit) {}

  // ENFILE: a limit.
  Outcome<std::uint64_t> add(std::shared_ptr<const OpenFile> file);
  Outcome<std::uint64_t> add(std::shared_ptr<OpenDirectory> directory);
  // EBADF: no such handle, of another kind, or of another node.
  Outcome<std::shared_ptr<const OpenFile>> file(std::uint64_t handle, NodeId node) const;
  Outcome<std::shared_ptr<OpenDirectory>> directory(std::uint64_t handle, NodeId node) const;
  Outcome<void> remove_file(std::uint64_t handle, NodeId node);
  Outcome<void> remove_directory(std::uint64_t handle, NodeId node);
  void clear();
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::size_t limit_;
  std::size_t directory_limit_;
  std::uint64_t next_ = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<const OpenFile>> files_;
  std::unordered_map<std::uint64_t, std::shared_ptr<OpenDirectory>> directories_;
};

}  // namespace cloister::share
