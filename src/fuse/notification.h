// The notification lane's messages, both directions (docs/formats/share.md): pure functions.
#pragma once

#include <linux/fuse.h>

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cloister::fuse {

inline constexpr std::size_t kFenceBytes = 24;
inline constexpr std::size_t kMaxNotification = 512;  // bytes: two headers and a name

Bytes encode_inval_inode(std::uint64_t node);
Bytes encode_inval_entry(std::uint64_t parent, std::string_view name);
// A name that the client's kernel shall let go of, though nothing changed: it remembers too much.
Bytes encode_drop_entry(std::uint64_t parent, std::string_view name);
Bytes encode_fence(std::uint64_t number);

enum class NotificationKind { inval_inode, inval_entry, drop_entry, fence };

// What the client accepts. invalid: anything but the four messages above, exactly.
Result<NotificationKind> check_notification(ByteView message);
// invalid: not a fence.
Result<std::uint64_t> decode_fence(ByteView message);

}  // namespace cloister::fuse
