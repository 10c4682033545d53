// The inodes that the client's kernel holds references to, by node number and by inode number, and what it
// was told about each. Thread-safe. One table per mount.
#pragma once

#include <linux/fuse.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "share/outcome.h"
#include "sys/fd.h"

namespace cloister::share {

using NodeId = std::uint64_t;

// The attributes that the client was last told, to find out what changed behind its back.
struct Told {
  struct stat attributes{};
  // The last change was long enough before, so that another one would show in ctime; and what the client has
  // of the contents is not older.
  bool settled = false;
  bool once = false;
};

// A name that leads the client to an inode.
struct Entry {
  NodeId parent = 0;
  std::string name;
};

// What the inodes without a name hold together: each a pointer to it.
struct Orphans {};

// One file, directory or link. Its O_PATH descriptor pins the inode, so the number cannot be given to
// another. The constants are free to read; the rest is the table's.
class Inode {
 public:
  Inode(NodeId node, const struct stat& info, sys::Fd path)
      : id(node), number(info.st_ino), type(info.st_mode & S_IFMT), handle(std::move(path)) {}
  const NodeId id;
  const ino_t number;
  const mode_t type;

 private:
  std::shared_ptr<Orphans> orphan_;  // of the table; declared before `handle`, to outlive it

 public:
  const sys::Fd handle;  // O_PATH

 private:
  friend class InodeTable;
  std::uint64_t lookups_ = 0;
  Told told_;
  std::vector<Entry> entries_;
  std::vector<NodeId> parents_;  // of a directory: wherever the client was ever told that it is
  bool wandered_ = false;        // to more places than are remembered
};
using InodePtr = std::shared_ptr<Inode>;

class InodeTable {
 public:
  // `root` is the O_PATH descriptor of the share's root: node 1, never forgotten.
  InodeTable(sys::Fd root, const struct stat& info, std::size_t limit);

  const InodePtr& root() const { return root_; }
  // ESTALE: the client never got this number, or gave it back.
  Outcome<InodePtr> find(NodeId node) const;
  // The inode behind a fresh O_PATH descriptor, with one more reference from the client. ENFILE: the limit.
  Outcome<InodePtr> reference(sys::Fd path, const struct stat& info);
  // Takes back `count` references, at most those there are. Returns the inode if that were the last.
  InodePtr forget(NodeId node, std::uint64_t count);
  void forget_all();

  // The client gets these attributes.
  void tell(Inode& inode, const struct stat& info);
  // The client is told to drop what it has of the inode, and may believe these attributes from then on.
  void renew(Inode& inode, const struct stat& info);
  bool unchanged(const Inode& inode, const struct stat& info) const;
  // Remembers that the client reaches the inode by this name. Past the limit the oldest name of a file gives
  // way; of a link every name must be known, so that one more is refused: false.
  bool name(Inode& inode, NodeId parent, std::string_view name);
  void unname(Inode& inode, NodeId parent, std::string_view name);
  std::vector<Entry> entries(const Inode& inode) const;
  // The inode has lost its last name: its space is free once nobody holds it.
  void orphan(Inode& inode);
  bool has_orphans() const { return orphans_.use_count() > 1; }

  // Whether the inode may be below that directory of the root: no name says that it is elsewhere.
  bool may_be_below(const Inode& inode, std::string_view top) const;
  // How few directories may stand between this one and the root in the eyes of the client's kernel, which
  // keeps a directory where it was last told, or where its programs stand. As many as can be, if the client
  // does not know it.
  std::size_t least_depth(const Inode& directory) const;

  // Nothing if the client does not know the inode.
  InodePtr find_number(ino_t number) const;
  std::vector<InodePtr> all() const;
  std::size_t size() const;
  std::size_t limit() const { return limit_; }
  // What is known beyond it stays known.
  void set_limit(std::size_t limit) { limit_ = limit; }
  // Three quarters of the limit are reached: nothing should be handed out that nobody asked for.
  bool crowded() const { return size() >= limit_ / 4 * 3; }
  // Files and links that nobody but the client's kernel holds: `count` of them, the next ones each time, for
  // some of them the kernel may be unable to let go of.
  std::vector<InodePtr> idle(std::size_t count);

 private:
  mutable std::mutex mutex_;
  InodePtr root_;
  std::atomic<std::size_t> limit_;
  NodeId next_ = 2;
  NodeId last_idle_ = 0;  // the last one that idle() gave
  const std::shared_ptr<Orphans> orphans_ = std::make_shared<Orphans>();
  std::unordered_map<NodeId, InodePtr> by_node_;
  std::unordered_map<ino_t, InodePtr> by_number_;
};

}  // namespace cloister::share
