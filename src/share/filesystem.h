// FileSystem: FUSE's operations on a directory. Thread-safe: any number of lanes call run() at once. Owned by
// a Server.
//
// An inode is held by an O_PATH descriptor. Names are resolved one checked component at a time below such a
// descriptor, never through a link and never across a mount. Contents are opened again through /proc/self/fd,
// which leads to the inode itself, whatever became of its name: an unlinked file stays usable, a swapped name
// does not matter.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "fuse/request.h"
#include "share/handle_table.h"
#include "share/inode_table.h"
#include "share/links.h"
#include "share/lock_table.h"
#include "share/server.h"
#include "sys/dir.h"

namespace cloister::share {

inline constexpr mode_t kSettableMode = 01777;  // what a client may set: never setuid or setgid

// The body of a reply under construction. It is never too small: every size was bounded when the request was
// decoded.
class ReplyBody {
 public:
  explicit ReplyBody(MutableByteView room) : room_(room) {}
  MutableByteView room() const { return room_.subspan(size_); }
  void advance(std::size_t count) { size_ += count; }
  void put(ByteView bytes);
  std::size_t size() const { return size_; }

 private:
  MutableByteView room_;
  std::size_t size_ = 0;
};

class FileSystem {
 public:
  static Result<std::unique_ptr<FileSystem>> create(sys::Dir root, ServerOptions options);

  Outcome<void> run(const fuse_in_header& caller, const fuse::Body& body, ReplyBody& out);
  // Hands over the notifications that bring the client up to date, some at a time and at last the rest, which
  // may be none; from then on it counts as told. Ends with the first failure to tell.
  using Tell = std::function<Status(const std::vector<Bytes>&)>;
  Status changed(const Tell& tell);
  void know(const Company& company);
  // Notifications by which the client's kernel lets go of what it does not use.
  std::vector<Bytes> surplus();
  void forget_all();
  bool crowded() const { return inodes_.crowded(); }
  bool nearly_full() const { return inodes_.size() >= inodes_.limit() / 8 * 7; }
  std::size_t inode_count() const { return inodes_.size(); }
  std::size_t handle_count() const { return handles_.size(); }
  std::size_t lock_count() const { return locks_.size(); }
  // How many callers of run() there may be at once: one of them never waits for space.
  void add_lane() { ++lanes_; }
  void remove_lane() { --lanes_; }

 private:
  using Caller = fuse_in_header;
  // Whether space may have become free until `end`; false at once where nobody could free any.
  bool await_freed(std::uint64_t seen, std::chrono::steady_clock::time_point end);
  void freed();
  Outcome<void> run_once(const Caller& caller, const fuse::Body& body, ReplyBody& out);
  FileSystem(sys::Fd root, const struct stat& info, ServerOptions options);

  // names.cc
  Outcome<void> run(const Caller& caller, const fuse::Lookup& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::MakeNode& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::MakeDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Symlink& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Link& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Unlink& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::RemoveDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Rename& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Forget& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::BatchForget& in, ReplyBody& out);
  // files.cc
  Outcome<void> run(const Caller& caller, const fuse::Create& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::TmpFile& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Open& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Read& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Write& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Release& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Fsync& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Allocate& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Seek& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::CopyRange& in, ReplyBody& out);
  // locks.cc
  Outcome<void> run(const Caller& caller, const fuse::Flush& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::GetLock& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::SetLock& in, ReplyBody& out);
  // attributes.cc
  Outcome<void> run(const Caller& caller, const fuse::GetAttr& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::GetStatx& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::SetAttr& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::ReadLink& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::StatFs& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::SetXattr& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::GetXattr& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::ListXattr& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::RemoveXattr& in, ReplyBody& out);
  // directories.cc
  Outcome<void> run(const Caller& caller, const fuse::OpenDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::ReadDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::ReleaseDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::FsyncDir& in, ReplyBody& out);
  Outcome<void> run(const Caller& caller, const fuse::Destroy& in, ReplyBody& out);

  // The child of that name: openat2(2) that follows nothing and stays on this mount.
  Outcome<sys::Fd> child(const Inode& parent, const char* name, int flags, mode_t mode = 0) const;
  // The inode behind any descriptor, opened anew.
  Outcome<sys::Fd> reopen(int fd, int flags) const;
  Outcome<sys::Fd> reopen_for_locks(const Inode& inode) const;
  // Whether the client may see a file of this kind here; `path` is its O_PATH descriptor.
  bool visible(const Inode& parent, int path, const struct stat& info) const;
  bool stays_inside(const Inode& parent, std::string_view target) const;
  // Of anything behind an O_PATH descriptor: whether it is a link that leaves the share from that directory.
  bool leads_out(const Inode& directory, int path) const;
  bool link_visible(const Inode& parent, ino_t link, std::string_view target) const;
  // How many directories lie between this one and the share's root.
  Outcome<std::size_t> depth(const Inode& directory) const;

  struct Found {
    InodePtr inode;
    struct stat info{};
  };
  // Hands the child to the client: one reference more, name and attributes noted. ENOENT: not for its eyes.
  Outcome<Found> introduce(const Inode& parent, std::string_view name, sys::Fd path);
  Outcome<Found> look_up(const Inode& parent, const char* name);
  // Gives a new file to the user who made it, where the client tells who that is.
  Outcome<void> adopt(const Caller& caller, int path) const;
  // Looks up what was just made, adopts it and replies with its entry.
  Outcome<void> reply_made(const Caller& caller, const Inode& parent, const fuse::Name& name, ReplyBody& out);
  Outcome<void> make_special(const Inode& parent, const fuse::MakeNode& in);
  sys::Fd hold(const Inode& parent, const fuse::Name& name) const;
  // `path` led to what that name stood for and does not any more.
  void removed(const Inode& parent, const fuse::Name& name, const sys::Fd& path);
  void forget(NodeId node, std::uint64_t count);
  void moved(const Inode& from, const fuse::Name& old_name, const Inode& to, const fuse::Name& new_name);
  Outcome<void> remove_hidden(const Inode& parent, const fuse::Name& name);
  struct Made {
    sys::Fd fd;
    bool is_new = false;
  };
  Outcome<Made> make_or_open(const Caller& caller, const Inode& parent, const fuse::Create& in);
  Outcome<void> reply_opened(const Found& found, sys::Fd fd, ReplyBody& out);
  Outcome<void> set_size(const Inode& inode, const fuse_setattr_in& in);
  Outcome<void> set_attributes(const Inode& inode, const fuse_setattr_in& in);
  Outcome<sys::Fd> open_for_xattrs(NodeId node, int error_for_links) const;
  Outcome<bool> put_entry(const OpenDirectory& directory, const struct Dirent& entry, bool plus,
                          std::size_t room, ReplyBody& out);
  // Whether what the client has of the inode's attributes and contents is what is there.
  bool up_to_date(const Inode& inode, const struct stat& info) const;
  void add_changes(Inode& inode, std::vector<Bytes>& out);
  // Seconds that the client may believe a name or an attribute.
  std::uint64_t lifetime() const;
  fuse_entry_out entry_of(const Inode& inode, const struct stat& info) const;
  bool still_leads(const Entry& entry, const Inode& inode) const;

  sys::Dir proc_self_fd_;
  std::shared_ptr<HostMade> host_made_;
  const bool exclusive_;
  dev_t device_;
  InodeTable inodes_;
  HandleTable handles_;
  LockTable locks_;
  const std::size_t max_inodes_;  // of all mounts together
  std::atomic<bool> other_mounts_{false};
  std::atomic<std::int64_t> jobs_since_{kNever};
  std::atomic<bool> jobs_write_all_{false};
  std::atomic<std::chrono::steady_clock::time_point> removed_{};  // when a name was last removed
  std::atomic<std::size_t> lanes_{0};
  std::mutex freed_mutex_;  // for what follows
  std::condition_variable freed_changed_;
  std::size_t waiting_ = 0;                    // callers of run() that wait for space
  std::atomic<std::uint64_t> freed_count_{0};  // RELEASE and FORGET so far; grows with the mutex held
};

// The attributes that the client sees: no setuid, no setgid, no device numbers.
fuse_attr attributes_of(const struct stat& info);
mode_t shown_mode(mode_t mode);
// The target of the link behind an O_PATH descriptor.
Outcome<std::string> read_link(int path);

}  // namespace cloister::share
