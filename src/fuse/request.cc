#include "fuse/request.h"

#include <fcntl.h>

#include <limits>

#include "fuse/limits.h"
#include "fuse/wire.h"
#include "sys/dir.h"

namespace cloister::fuse {

namespace {

// Reads one body from front to back; finish() refuses leftovers.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : rest_(bytes) {}

  template <class T>
  Outcome<T> take() {
    if (rest_.size() < sizeof(T)) return refuse(EIO);
    T value = load<T>(rest_);
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  Outcome<ByteView> bytes(std::size_t count) {
    if (rest_.size() < count) return refuse(EIO);
    auto out = rest_.first(count);
    rest_ = rest_.subspan(count);
    return out;
  }
  // Up to a NUL, which is consumed and stays in the message behind the view.
  Outcome<std::string_view> text() {
    auto all = as_text(rest_);
    auto end = all.find('\0');
    if (end == std::string_view::npos) return refuse(EIO);
    rest_ = rest_.subspan(end + 1);
    return all.substr(0, end);
  }
  Outcome<Name> name() {
    auto component = TRY(text());
    if (component.size() > sys::kMaxComponent) return refuse(ENAMETOOLONG);
    if (!sys::check_component(component)) return refuse(EINVAL);
    return Name(component);
  }
  Outcome<const char*> xattr_name() {
    auto name = TRY(text());
    if (name.size() > sys::kMaxComponent) return refuse(ERANGE);
    if (!name.starts_with("user.")) return refuse(ENOTSUP);
    if (name.size() == 5) return refuse(EINVAL);  // as every file system's own handlers say
    return name.data();
  }
  Outcome<void> finish() const {
    if (!rest_.empty()) return refuse(EIO);
    return {};
  }

 private:
  ByteView rest_;
};

// Modes travel with what the file type says elsewhere; what is kept of them is decided by the server.
Outcome<Body> decode_symlink(Cursor& in) {
  Symlink out{TRY(in.name()), TRY(in.text())};
  if (out.target.empty()) return refuse(ENOENT);
  if (out.target.size() > kMaxSymlink) return refuse(ENAMETOOLONG);
  return out;
}

Outcome<Body> decode_make_node(Cursor& in) {
  auto head = TRY(in.take<fuse_mknod_in>());
  return MakeNode{TRY(in.name()), head.mode};
}

Outcome<Body> decode_make_dir(Cursor& in) {
  auto head = TRY(in.take<fuse_mkdir_in>());
  return MakeDir{TRY(in.name()), head.mode};
}

Outcome<Body> decode_rename(Cursor& in) {
  auto head = TRY(in.take<fuse_rename_in>());
  auto from = TRY(in.name());
  return Rename{from, head.newdir, TRY(in.name()), 0};
}

Outcome<Body> decode_rename2(Cursor& in) {
  auto head = TRY(in.take<fuse_rename2_in>());
  auto from = TRY(in.name());
  return Rename{from, head.newdir, TRY(in.name()), head.flags};
}

Outcome<Body> decode_link(Cursor& in) {
  auto head = TRY(in.take<fuse_link_in>());
  return Link{head.oldnodeid, TRY(in.name())};
}

Outcome<Body> decode_create(Cursor& in) {
  auto head = TRY(in.take<fuse_create_in>());
  return Create{TRY(in.name()), head.flags, head.mode};
}

// The kernel puts a "/" where CREATE has its name.
Outcome<Body> decode_tmpfile(Cursor& in) {
  auto head = TRY(in.take<fuse_create_in>());
  TRY(in.text());
  return TmpFile{head.flags, head.mode};
}

Outcome<fuse_read_in> decode_range(Cursor& in) {
  auto head = TRY(in.take<fuse_read_in>());
  if (head.size > kMaxWrite) return refuse(EINVAL);
  return head;
}

Outcome<Body> decode_write(Cursor& in) {
  auto head = TRY(in.take<fuse_write_in>());
  if (head.size > kMaxWrite) return refuse(EINVAL);
  return Write{head, TRY(in.bytes(head.size))};
}

Outcome<Body> decode_batch_forget(Cursor& in) {
  auto head = TRY(in.take<fuse_batch_forget_in>());
  if (head.count > kMaxForgets) return refuse(EIO);
  return BatchForget{TRY(in.bytes(head.count * sizeof(fuse_forget_one)))};
}

// The short form of the header: FUSE_SETXATTR_EXT is never agreed on.
Outcome<Body> decode_set_xattr(Cursor& in) {
  auto head = TRY(in.bytes(FUSE_COMPAT_SETXATTR_IN_SIZE));
  auto size = load<std::uint32_t>(head);
  auto name = TRY(in.xattr_name());
  if (size > kMaxXattrValue) return refuse(E2BIG);
  return SetXattr{name, TRY(in.bytes(size)), load<std::uint32_t>(head, 4)};
}

Outcome<Body> decode_get_xattr(Cursor& in) {
  auto head = TRY(in.take<fuse_getxattr_in>());
  return GetXattr{TRY(in.xattr_name()), std::min<std::uint32_t>(head.size, kMaxXattrValue)};
}

Outcome<Body> decode_list_xattr(Cursor& in) {
  auto head = TRY(in.take<fuse_getxattr_in>());
  return ListXattr{std::min<std::uint32_t>(head.size, kMaxXattrValue)};
}

template <class T>
Outcome<Body> decode_fsync(Cursor& in) {
  auto head = TRY(in.take<fuse_fsync_in>());
  return T{head.fh, (head.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0};
}

// Ranges run from the first to the last byte; the end of every file is the largest offset.
Outcome<fuse_lk_in> decode_lock(Cursor& in) {
  auto head = TRY(in.take<fuse_lk_in>());
  constexpr std::uint64_t kEnd = std::numeric_limits<off_t>::max();
  if (head.lk.start > head.lk.end || head.lk.end > kEnd) return refuse(EINVAL);
  if (head.lk.type != F_RDLCK && head.lk.type != F_WRLCK && head.lk.type != F_UNLCK) return refuse(EINVAL);
  return head;
}

Outcome<Body> decode_get_lock(Cursor& in) {
  auto head = TRY(decode_lock(in));
  if (head.lk.type == F_UNLCK || head.lk_flags != 0) return refuse(EINVAL);
  return GetLock{head};
}

Outcome<Body> decode_set_lock(Cursor& in) {
  auto head = TRY(decode_lock(in));
  if ((head.lk_flags & ~std::uint32_t{FUSE_LK_FLOCK}) != 0) return refuse(EINVAL);
  return SetLock{head, (head.lk_flags & FUSE_LK_FLOCK) != 0};
}

Outcome<Body> decode_flush(Cursor& in) {
  auto head = TRY(in.take<fuse_flush_in>());
  return Flush{head.fh, head.lock_owner};
}

Outcome<Body> decode_by_opcode(std::uint32_t opcode, Cursor& in) {
  switch (opcode) {
    case FUSE_LOOKUP:
      return Lookup{TRY(in.name())};
    case FUSE_FORGET:
      return Forget{TRY(in.take<fuse_forget_in>()).nlookup};
    case FUSE_BATCH_FORGET:
      return decode_batch_forget(in);
    case FUSE_GETATTR:
      TRY(in.take<fuse_getattr_in>());
      return GetAttr{};
    case kOpStatx:
      TRY(in.take<StatxIn>());
      return GetStatx{};
    case FUSE_SETATTR:
      return SetAttr{TRY(in.take<fuse_setattr_in>())};
    case FUSE_READLINK:
      return ReadLink{};
    case FUSE_SYMLINK:
      return decode_symlink(in);
    case FUSE_MKNOD:
      return decode_make_node(in);
    case FUSE_MKDIR:
      return decode_make_dir(in);
    case FUSE_UNLINK:
      return Unlink{TRY(in.name())};
    case FUSE_RMDIR:
      return RemoveDir{TRY(in.name())};
    case FUSE_RENAME:
      return decode_rename(in);
    case FUSE_RENAME2:
      return decode_rename2(in);
    case FUSE_LINK:
      return decode_link(in);
    case FUSE_OPEN:
      return Open{TRY(in.take<fuse_open_in>()).flags};
    case FUSE_CREATE:
      return decode_create(in);
    case FUSE_TMPFILE:
      return decode_tmpfile(in);
    case FUSE_READ:
      return Read{TRY(decode_range(in))};
    case FUSE_WRITE:
      return decode_write(in);
    case FUSE_STATFS:
      return StatFs{};
    case FUSE_RELEASE:
      return Release{TRY(in.take<fuse_release_in>()).fh};
    case FUSE_FSYNC:
      return decode_fsync<Fsync>(in);
    case FUSE_SETXATTR:
      return decode_set_xattr(in);
    case FUSE_GETXATTR:
      return decode_get_xattr(in);
    case FUSE_LISTXATTR:
      return decode_list_xattr(in);
    case FUSE_REMOVEXATTR:
      return RemoveXattr{TRY(in.xattr_name())};
    case FUSE_FLUSH:
      return decode_flush(in);
    case FUSE_GETLK:
      return decode_get_lock(in);
    case FUSE_SETLK:
      return decode_set_lock(in);
    case FUSE_OPENDIR:
      TRY(in.take<fuse_open_in>());
      return OpenDir{};
    case FUSE_READDIR:
      return ReadDir{TRY(decode_range(in)), false};
    case FUSE_READDIRPLUS:
      return ReadDir{TRY(decode_range(in)), true};
    case FUSE_RELEASEDIR:
      return ReleaseDir{TRY(in.take<fuse_release_in>()).fh};
    case FUSE_FSYNCDIR:
      return decode_fsync<FsyncDir>(in);
    case FUSE_FALLOCATE:
      return Allocate{TRY(in.take<fuse_fallocate_in>())};
    case FUSE_LSEEK:
      return Seek{TRY(in.take<fuse_lseek_in>())};
    case FUSE_COPY_FILE_RANGE:
      return CopyRange{TRY(in.take<fuse_copy_file_range_in>())};
    case FUSE_DESTROY:
      return Destroy{};
    default:
      return refuse(ENOSYS);  // among them ACCESS, POLL, IOCTL, BMAP: the kernel then does its own; SETLKW:
                              // see the client
  }
}

}  // namespace

Result<fuse_in_header> decode_header(ByteView message) {
  if (message.size() < sizeof(fuse_in_header))
    return fail(ErrorKind::invalid, "a FUSE request without its header");
  auto header = load<fuse_in_header>(message);
  if (header.len != message.size() || header.len > kMaxMessage) {
    return fail(ErrorKind::invalid, "a FUSE request of {} bytes that says {}", message.size(), header.len);
  }
  if (header.total_extlen != 0) return fail(ErrorKind::invalid, "a FUSE request with extensions");
  return header;
}

Outcome<Body> decode_body(const fuse_in_header& header, ByteView message) {
  Cursor cursor(message.subspan(sizeof(fuse_in_header)));
  auto body = TRY(decode_by_opcode(header.opcode, cursor));
  TRY(cursor.finish());
  return body;
}

bool has_reply(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET;
}

}  // namespace cloister::fuse
