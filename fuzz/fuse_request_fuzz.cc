// Whatever bytes a hostile client sends on a request lane, up to the operation they ask for; and whatever an
// enclave answers, up to what the kernel would be shown.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>

#include "fuse/notification.h"
#include "fuse/protocol.h"
#include "fuse/reply_check.h"
#include "fuse/request.h"
#include "fuse/wire.h"

namespace {

using namespace cloister;

constexpr std::uint64_t kUnique = 42;
constexpr std::uint64_t kMaxOffset = std::numeric_limits<off_t>::max();
constexpr std::uint32_t kLastOpcode = std::max<std::uint32_t>(FUSE_TMPFILE, fuse::kOpStatx);

std::size_t at_least(std::size_t size, std::size_t wanted) {
  return std::max(size, wanted);
}

// The size of a reply's body where the opcode has one size; else what the input gives.
std::size_t plausible_size(std::uint32_t opcode, std::size_t size) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return sizeof(fuse_entry_out);
    case FUSE_GETATTR:
    case FUSE_SETATTR:
      return sizeof(fuse_attr_out);
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return sizeof(fuse_entry_out) + sizeof(fuse_open_out);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return sizeof(fuse_open_out);
    case FUSE_WRITE:
    case FUSE_COPY_FILE_RANGE:
      return sizeof(fuse_write_out);
    case FUSE_STATFS:
      return sizeof(fuse_statfs_out);
    case FUSE_LSEEK:
      return sizeof(fuse_lseek_out);
    case FUSE_GETLK:
      return sizeof(fuse_lk_out);
    case FUSE_SETLK:
      return sizeof(fuse::LockGranted);
    case fuse::kOpStatx:
      return sizeof(fuse::StatxOut);
    case FUSE_READDIRPLUS:
      return at_least(size, sizeof(fuse_entry_out));
    default:
      return size;
  }
}

void require(bool holds) {
  if (!holds) __builtin_trap();
}

bool is_range(const fuse_file_lock& lock) {
  return lock.start <= lock.end && lock.end <= kMaxOffset;
}

void require_shown(mode_t mode, std::uint64_t size) {
  require(!S_ISCHR(mode) && !S_ISBLK(mode));
  require(S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode));
  require((mode & (S_ISUID | S_ISGID)) == 0 && size <= kMaxOffset);
}

void require_inert(const fuse::Statx& stat) {
  require_shown(stat.mode, stat.size);
  require(stat.attributes == 0 && stat.attributes_mask == 0 && stat.blksize != 0);
  require((stat.rdev_major | stat.rdev_minor | stat.dev_major | stat.dev_minor) == 0);
}

void require_inert(const fuse_attr& attr) {
  require_shown(attr.mode, attr.size);
  require(attr.rdev == 0 && attr.flags == 0 && attr.blksize != 0);
}

// What docs/formats/share.md promises of a reply that was let through.
void require_promises(std::uint32_t opcode, ByteView body) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_CREATE:
    case FUSE_TMPFILE: {
      auto entry = fuse::load<fuse_entry_out>(body);
      require(entry.nodeid > FUSE_ROOT_ID);
      return require_inert(entry.attr);
    }
    case FUSE_GETATTR:
    case FUSE_SETATTR:
      return require_inert(fuse::load<fuse_attr_out>(body).attr);
    case fuse::kOpStatx:
      return require_inert(fuse::load<fuse::StatxOut>(body).stat);
    case FUSE_SETLK:
      return require(fuse::load<fuse::LockGranted>(body).shared <= 1);
    case FUSE_GETLK:
      return require(is_range(fuse::load<fuse_lk_out>(body).lk) &&
                     fuse::load<fuse_lk_out>(body).lk.type <= F_UNLCK);
    case FUSE_SETLKW:
    case FUSE_INTERRUPT:
      return require(false);  // no enclave serves them
    case FUSE_READLINK:
      return require(!body.empty() && std::find(body.begin(), body.end(), 0) == body.end());
    default:
      return;
  }
}

void try_as_request(ByteView input) {
  auto header = fuse::decode_header(input);
  if (!header) return;
  auto body = fuse::decode_body(*header, input);
  // Names end inside the message, where the system call will look for their end.
  if (body && std::holds_alternative<fuse::Lookup>(*body)) {
    const auto& name = std::get<fuse::Lookup>(*body).name;
    require(name.c_str()[name.view().size()] == '\0');
  }
  if (body && std::holds_alternative<fuse::SetLock>(*body))
    require(is_range(std::get<fuse::SetLock>(*body).in.lk));
  if (body && std::holds_alternative<fuse::GetLock>(*body))
    require(is_range(std::get<fuse::GetLock>(*body).in.lk));
}

// The same bytes, taken for a whole reply to each operation.
void try_as_reply(ByteView input) {
  if (input.size() < sizeof(fuse_out_header)) return;
  auto unique = fuse::load<fuse_out_header>(input).unique;
  for (std::uint32_t opcode = 1; opcode <= kLastOpcode; ++opcode) {
    auto reply = to_bytes(input);
    static_cast<void>(
        fuse::check_reply({.opcode = opcode, .unique = unique, .asked = 4096}, reply, {}).has_value());
  }
}

// Opcode (1 byte), bytes asked for (16-byte units, 1 byte), then the body of a reply whose header is right.
void try_as_reply_body(ByteView input) {
  if (input.size() < 2) return;
  fuse::Outstanding request{
      .opcode = input[0] % (kLastOpcode + 1U), .unique = kUnique, .asked = input[1] * 16U};
  auto body = to_bytes(input.subspan(2));
  body.resize(plausible_size(request.opcode, body.size()));
  fuse_out_header header{.len = 0, .error = 0, .unique = kUnique};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  auto reply = to_bytes(fuse::bytes_of(header));
  append(reply, body);
  if (!fuse::check_reply(request, reply, {})) return;
  require_promises(request.opcode, ByteView(reply).subspan(sizeof header));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input(data, size);
  try_as_request(input);
  static_cast<void>(fuse::check_notification(input).has_value());
  try_as_reply(input);
  try_as_reply_body(input);
  return 0;
}
