// Operations on names: look up, make, remove, rename, forget.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <vector>

#include "fuse/request.h"
#include "fuse/wire.h"
#include "share/filesystem.h"

namespace cloister::share {

Outcome<void> FileSystem::adopt(const Caller& caller, int path) const {
  if (caller.uid == 0 && caller.gid == 0) return {};
  if (::fchownat(path, "", caller.uid, caller.gid, AT_EMPTY_PATH) != 0) return refuse_errno();
  return {};
}

Outcome<void> FileSystem::reply_made(const Caller& caller, const Inode& parent, const fuse::Name& name,
                                     ReplyBody& out) {
  auto path = TRY(child(parent, name.c_str(), O_PATH));
  TRY(adopt(caller, path.get()));
  auto found = TRY(introduce(parent, name.view(), std::move(path)));
  out.put(fuse::bytes_of(entry_of(*found.inode, found.info)));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Lookup& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  auto found = TRY(look_up(*parent, in.name.c_str()));
  out.put(fuse::bytes_of(entry_of(*found.inode, found.info)));
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::MakeNode& in, ReplyBody& out) {
  auto type = in.mode & S_IFMT;
  bool special = S_ISFIFO(type) || S_ISSOCK(type);
  if (type != 0 && type != S_IFREG && !special) return refuse(EPERM);
  auto parent = TRY(inodes_.find(caller.nodeid));
  if (special) {
    TRY(make_special(*parent, in));
  } else {
    TRY(child(*parent, in.name.c_str(), O_WRONLY | O_CREAT | O_EXCL, in.mode & kSettableMode));
  }
  auto done = reply_made(caller, *parent, in.name, out);
  if (!done) ::unlinkat(parent->handle.get(), in.name.c_str(), 0);
  return done;
}

// A fifo or a socket is a name here and works in the client's kernel alone: this process never opens one.
Outcome<void> FileSystem::make_special(const Inode& parent, const fuse::MakeNode& in) {
  if (::mknodat(parent.handle.get(), in.name.c_str(), in.mode & (S_IFMT | kSettableMode), 0) != 0)
    return refuse_errno();
  auto path = TRY(child(parent, in.name.c_str(), O_PATH));
  struct stat info{};
  if (::fstat(path.get(), &info) != 0) return refuse_errno();
  host_made_->made(info.st_ino, parent.number, {}, false);
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::MakeDir& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  if (::mkdirat(parent->handle.get(), in.name.c_str(), in.mode & kSettableMode) != 0) return refuse_errno();
  auto done = reply_made(caller, *parent, in.name, out);
  if (!done) ::unlinkat(parent->handle.get(), in.name.c_str(), AT_REMOVEDIR);
  return done;
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Symlink& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  std::string target(in.target);
  if (::symlinkat(target.c_str(), parent->handle.get(), in.name.c_str()) != 0) return refuse_errno();
  // What stands there now may already be a job's link: it is the client's only with the client's target.
  auto path = TRY(child(*parent, in.name.c_str(), O_PATH));
  struct stat info{};
  if (::fstat(path.get(), &info) != 0) return refuse_errno();
  if (S_ISLNK(info.st_mode))
    host_made_->made(info.st_ino, parent->number, in.target, !stays_inside(*parent, in.target));
  auto done = reply_made(caller, *parent, in.name, out);
  if (!done) ::unlinkat(parent->handle.get(), in.name.c_str(), 0);
  return done;
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Link& in, ReplyBody& out) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  auto source = TRY(inodes_.find(in.source));
  if (S_ISDIR(source->type)) return refuse(EPERM);
  auto from = std::to_string(source->handle.get());
  // The link in /proc/self/fd is followed to the inode, and no further if that is a link itself.
  if (::linkat(proc_self_fd_.descriptor(), from.c_str(), parent->handle.get(), in.name.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
    return refuse_errno();
  }
  bool leaves = leads_out(*parent, source->handle.get());
  for (const auto& entry : inodes_.entries(*source)) {
    if (auto known = inodes_.find(entry.parent))
      host_made_->placed(source->number, (*known)->number, parent->number, leaves);
  }
  auto found = look_up(*parent, in.name.c_str());
  if (!found) {  // an error means that there is no such name
    ::unlinkat(parent->handle.get(), in.name.c_str(), 0);
    return std::unexpected(found.error());
  }
  out.put(fuse::bytes_of(entry_of(*found->inode, found->info)));
  return {};
}

// What a name stands for, held; nothing if there is no such name.
sys::Fd FileSystem::hold(const Inode& parent, const fuse::Name& name) const {
  auto path = child(parent, name.c_str(), O_PATH);
  return path ? std::move(*path) : sys::Fd();
}

// The descriptor keeps the inode's number from being given to another until it is forgotten here as well. If
// a job put another file there meanwhile, what it leads to has lost that name too. The last name stays known,
// because a program of the client may be about to read that very link: all of it goes with FORGET.
void FileSystem::removed(const Inode& parent, const fuse::Name& name, const sys::Fd& path) {
  struct stat info{};
  if (!path || ::fstat(path.get(), &info) != 0) return;
  auto inode = inodes_.find_number(info.st_ino);
  if (inode == nullptr) {
    if (info.st_nlink == 0) host_made_->gone(info.st_ino);
  } else if (info.st_nlink == 0) {
    inodes_.orphan(*inode);
  } else {
    inodes_.unname(*inode, parent.id, name.view());
  }
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Unlink& in, ReplyBody&) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  auto path = hold(*parent, in.name);
  if (::unlinkat(parent->handle.get(), in.name.c_str(), 0) != 0) return refuse_errno();
  removed(*parent, in.name, path);
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::RemoveDir& in, ReplyBody&) {
  auto parent = TRY(inodes_.find(caller.nodeid));
  auto path = hold(*parent, in.name);
  if (::unlinkat(parent->handle.get(), in.name.c_str(), AT_REMOVEDIR) != 0) {
    if (errno != ENOTEMPTY) return refuse_errno();
    TRY(remove_hidden(*parent, in.name));
    if (::unlinkat(parent->handle.get(), in.name.c_str(), AT_REMOVEDIR) != 0) return refuse_errno();
  }
  removed(*parent, in.name, path);
  return {};
}

// Empties a directory that looks empty to the client, who could not remove it otherwise.
Outcome<void> FileSystem::remove_hidden(const Inode& parent, const fuse::Name& name) {
  auto path = TRY(child(parent, name.c_str(), O_PATH | O_DIRECTORY));
  struct stat info{};
  if (::fstat(path.get(), &info) != 0) return refuse_errno();
  Inode directory(0, info, std::move(path));
  auto listing = TRY(reopen(directory.handle.get(), O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(listing.get()), ::closedir);
  if (stream == nullptr) return refuse_errno();
  listing.release();
  std::vector<std::string> hidden;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string_view child_name = entry->d_name;
    if (child_name == "." || child_name == "..") continue;
    auto inner = child(directory, entry->d_name, O_PATH);
    if (!inner) continue;
    if (::fstat(inner->get(), &info) != 0 || visible(directory, inner->get(), info)) return refuse(ENOTEMPTY);
    hidden.emplace_back(child_name);
  }
  for (const auto& each : hidden) ::unlinkat(directory.handle.get(), each.c_str(), 0);
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Rename& in, ReplyBody&) {
  constexpr std::uint32_t kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE;
  if ((in.flags & ~kKnown) != 0 || in.flags == kKnown) return refuse(EINVAL);
  auto from = TRY(inodes_.find(caller.nodeid));
  auto to = TRY(inodes_.find(in.to_parent));
  sys::Fd replaced;
  if (in.flags != RENAME_EXCHANGE) replaced = hold(*to, in.to);
  if (::renameat2(from->handle.get(), in.from.c_str(), to->handle.get(), in.to.c_str(), in.flags) != 0) {
    return refuse_errno();
  }
  removed(*to, in.to, replaced);
  moved(*from, in.from, *to, in.to);
  if (in.flags == RENAME_EXCHANGE) moved(*to, in.to, *from, in.from);
  return {};
}

// The client's kernel renames its own entry without asking again: its new name must be known here too.
void FileSystem::moved(const Inode& from, const fuse::Name& old_name, const Inode& to,
                       const fuse::Name& new_name) {
  struct stat info{};
  if (::fstatat(to.handle.get(), new_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    auto path = child(to, new_name.c_str(), O_PATH);
    host_made_->placed(info.st_ino, from.number, to.number, path && leads_out(to, path->get()));
  }
  auto inode = inodes_.find_number(info.st_ino);
  if (inode == nullptr) return;
  inodes_.unname(*inode, from.id, old_name.view());
  inodes_.name(*inode, to.id, new_name.view());
}

// A link that a job removed is found out here: nobody can give the inode a name again.
void FileSystem::forget(NodeId node, std::uint64_t count) {
  auto last = inodes_.forget(node, count);
  if (last == nullptr || S_ISREG(last->type) || S_ISDIR(last->type)) return;
  struct stat info{};
  if (::fstat(last->handle.get(), &info) == 0 && info.st_nlink == 0) host_made_->gone(last->number);
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::Forget& in, ReplyBody&) {
  forget(caller.nodeid, in.count);
  return {};
}

Outcome<void> FileSystem::run(const Caller&, const fuse::BatchForget& in, ReplyBody&) {
  for (std::size_t at = 0; at < in.entries.size(); at += sizeof(fuse_forget_one)) {
    auto one = fuse::load<fuse_forget_one>(in.entries, at);
    forget(one.nodeid, one.nlookup);
  }
  return {};
}

}  // namespace cloister::share
