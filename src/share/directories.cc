// Operations on open directories.
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include "fuse/wire.h"
#include "share/filesystem.h"

namespace cloister::share {

namespace {

constexpr std::size_t kListing = 32 * 1024;  // bytes per getdents64(2)

}  // namespace

// One entry as getdents64(2) gives it.
struct Dirent {
  std::uint64_t number;
  std::uint64_t next;  // the position behind this entry
  std::uint8_t type;
  const char* name;  // NUL-terminated
  std::size_t size;  // bytes in the listing
};

namespace {

// struct linux_dirent64: ino, off, reclen (16 bits), type (8 bits), name.
Dirent entry_at(const OpenDirectory& directory) {
  ByteView rest(directory.buffer);
  rest = rest.subspan(directory.begin, directory.end - directory.begin);
  return {.number = fuse::load<std::uint64_t>(rest),
          .next = fuse::load<std::uint64_t>(rest, 8),
          .type = rest[18],
          .name = reinterpret_cast<const char*>(rest.data()) + 19,
          .size = fuse::load<std::uint16_t>(rest, 16)};
}

// False at the end of the directory.
Outcome<bool> fill(OpenDirectory& directory) {
  if (directory.begin < directory.end) return true;
  std::uint8_t listing[kListing];
  long n = ::syscall(SYS_getdents64, directory.fd.get(), listing, sizeof listing);
  if (n < 0) return refuse_errno();
  directory.buffer.assign(listing, listing + n);
  directory.begin = 0;
  directory.end = static_cast<std::size_t>(n);
  return n > 0;
}

// A client may leave its directories open as long as it likes: what is given out holds no memory for them.
void drop_consumed(OpenDirectory& directory) {
  if (directory.begin == directory.end) Bytes().swap(directory.buffer);
}

Outcome<void> go_to(OpenDirectory& directory, std::uint64_t position) {
  if (position == directory.position) return {};
  if (position > std::numeric_limits<off_t>::max()) return refuse(EINVAL);
  if (::lseek(directory.fd.get(), static_cast<off_t>(position), SEEK_SET) < 0) return refuse_errno();
  directory.begin = directory.end = 0;
  drop_consumed(directory);
  directory.position = position;
  return {};
}

bool is_dots(std::string_view name) {
  return name == "." || name == "..";
}

// Shown or not by who made it and where it leads.
bool may_be_hidden(std::uint8_t type) {
  return type == DT_LNK || type == DT_FIFO || type == DT_SOCK;
}

std::size_t padded(std::size_t size) {
  return FUSE_REC_ALIGN(size);
}

void put_dirent(const Dirent& entry, std::string_view name, ReplyBody& out) {
  fuse_dirent head{};
  head.ino = entry.number;
  head.off = entry.next;
  head.namelen = static_cast<std::uint32_t>(name.size());
  head.type = entry.type;
  constexpr std::uint8_t kZeros[8] = {};
  auto size = FUSE_NAME_OFFSET + name.size();
  out.put(ByteView(reinterpret_cast<const std::uint8_t*>(&head), FUSE_NAME_OFFSET));
  out.put(as_bytes(name));
  out.put(ByteView(kZeros, padded(size) - size));
}

}  // namespace

Outcome<void> FileSystem::run(const Caller& caller, const fuse::OpenDir&, ReplyBody& out) {
  auto inode = TRY(inodes_.find(caller.nodeid));
  if (!S_ISDIR(inode->type)) return refuse(ENOTDIR);
  auto directory = std::make_shared<OpenDirectory>();
  directory->fd = TRY(reopen(inode->handle.get(), O_RDONLY | O_DIRECTORY));
  directory->inode = std::move(inode);
  fuse_open_out opened{};
  opened.fh = TRY(handles_.add(std::move(directory)));
  out.put(fuse::bytes_of(opened));
  return {};
}

// Writes the entry if it is the client's to see. False if it does not fit any more.
Outcome<bool> FileSystem::put_entry(const OpenDirectory& directory, const Dirent& entry, bool plus,
                                    std::size_t room, ReplyBody& out) {
  std::string_view name = entry.name;
  bool dots = is_dots(name);
  if (!dots && entry.type != DT_REG && entry.type != DT_DIR && !may_be_hidden(entry.type)) return true;
  auto size = padded(FUSE_NAME_OFFSET + name.size()) + (plus ? sizeof(fuse_entry_out) : 0);
  if (size > room) return false;
  fuse_entry_out details{};
  // Where there is hardly room for more inodes, only those are handed out that somebody asks for.
  if (plus && !dots && !inodes_.crowded()) {
    auto found = look_up(*directory.inode, entry.name);
    if (found) details = entry_of(*found->inode, found->info);
    // Gone or hidden: skipped. Anything else (too many inodes): listed without details.
    if (!found && found.error().value == ENOENT) return true;
  } else if (may_be_hidden(entry.type)) {
    auto path = child(*directory.inode, entry.name, O_PATH);
    struct stat info{};
    if (!path || ::fstat(path->get(), &info) != 0 || !visible(*directory.inode, path->get(), info))
      return true;
  }
  if (plus) out.put(fuse::bytes_of(details));
  put_dirent(entry, name, out);
  return true;
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::ReadDir& in, ReplyBody& out) {
  auto directory = TRY(handles_.directory(in.in.fh, caller.nodeid));
  std::lock_guard lock(directory->mutex);
  TRY(go_to(*directory, in.in.offset));
  for (;;) {
    auto more = fill(*directory);
    // What is listed already stays listed; the error comes with the next request.
    if (!more && out.size() == 0) return std::unexpected(more.error());
    if (!more || !*more) break;
    auto entry = entry_at(*directory);
    if (!TRY(put_entry(*directory, entry, in.plus, in.in.size - out.size(), out))) break;
    directory->begin += entry.size;
    directory->position = entry.next;
  }
  drop_consumed(*directory);
  return {};
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::ReleaseDir& in, ReplyBody&) {
  return handles_.remove_directory(in.handle, caller.nodeid);
}

Outcome<void> FileSystem::run(const Caller& caller, const fuse::FsyncDir& in, ReplyBody&) {
  auto directory = TRY(handles_.directory(in.handle, caller.nodeid));
  if ((in.data_only ? ::fdatasync(directory->fd.get()) : ::fsync(directory->fd.get())) != 0)
    return refuse_errno();
  return {};
}

Outcome<void> FileSystem::run(const Caller&, const fuse::Destroy&, ReplyBody&) {
  forget_all();
  return {};
}

}  // namespace cloister::share
