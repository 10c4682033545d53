#include "fuse/notification.h"

#include "fuse/wire.h"
#include "sys/dir.h"

namespace cloister::fuse {

namespace {

constexpr std::int32_t kFence = 0;  // FUSE's own codes start at 1
// In fuse_notify_inval_entry_out::flags, between the two ends only: the pump takes it out.
constexpr std::uint32_t kDrop = 1U << 31;

Bytes start(std::int32_t code, std::size_t body) {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body);
  header.error = code;
  return to_bytes(bytes_of(header));
}

Result<NotificationKind> check_entry(ByteView body) {
  if (body.size() < sizeof(fuse_notify_inval_entry_out))
    return fail(ErrorKind::invalid, "an invalidation cut short");
  auto head = load<fuse_notify_inval_entry_out>(body);
  auto name = as_text(body.subspan(sizeof head));
  if ((head.flags & ~kDrop) != 0 || name.empty() || name.size() - 1 != head.namelen || name.back() != '\0') {
    return fail(ErrorKind::invalid, "an invalidation of another shape");
  }
  TRY(sys::check_component(name.substr(0, head.namelen)));
  return head.flags == 0 ? NotificationKind::inval_entry : NotificationKind::drop_entry;
}

Bytes encode_entry(std::uint64_t parent, std::string_view name, std::uint32_t flags) {
  fuse_notify_inval_entry_out body{
      .parent = parent, .namelen = static_cast<std::uint32_t>(name.size()), .flags = flags};
  auto out = start(FUSE_NOTIFY_INVAL_ENTRY, sizeof body + name.size() + 1);
  append(out, bytes_of(body));
  append(out, as_bytes(name));
  out.push_back(0);
  return out;
}

}  // namespace

Bytes encode_inval_inode(std::uint64_t node) {
  // From offset 0 to the end: attributes and every cached page.
  fuse_notify_inval_inode_out body{.ino = node, .off = 0, .len = 0};
  auto out = start(FUSE_NOTIFY_INVAL_INODE, sizeof body);
  append(out, bytes_of(body));
  return out;
}

Bytes encode_inval_entry(std::uint64_t parent, std::string_view name) {
  return encode_entry(parent, name, 0);
}

Bytes encode_drop_entry(std::uint64_t parent, std::string_view name) {
  return encode_entry(parent, name, kDrop);
}

Bytes encode_fence(std::uint64_t number) {
  auto out = start(kFence, sizeof number);
  append(out, bytes_of(number));
  return out;
}

Result<NotificationKind> check_notification(ByteView message) {
  if (message.size() < sizeof(fuse_out_header)) return fail(ErrorKind::invalid, "a notification cut short");
  auto header = load<fuse_out_header>(message);
  if (header.len != message.size() || header.unique != 0)
    return fail(ErrorKind::invalid, "not a notification");
  auto body = message.subspan(sizeof header);
  if (header.error == kFence && message.size() == kFenceBytes) return NotificationKind::fence;
  if (header.error == FUSE_NOTIFY_INVAL_INODE && body.size() == sizeof(fuse_notify_inval_inode_out)) {
    return NotificationKind::inval_inode;
  }
  if (header.error == FUSE_NOTIFY_INVAL_ENTRY) return check_entry(body);
  return fail(ErrorKind::invalid, "a notification of code {} and {} bytes", header.error, message.size());
}

Result<std::uint64_t> decode_fence(ByteView message) {
  if (TRY(check_notification(message)) != NotificationKind::fence)
    return fail(ErrorKind::invalid, "not a fence");
  return load<std::uint64_t>(message, sizeof(fuse_out_header));
}

}  // namespace cloister::fuse
