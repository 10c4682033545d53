// The notification lane's messages, both directions.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "share/inode_table.h"
#include "sys/stream.h"

namespace cloister::share {

inline constexpr std::size_t kFenceBytes = 24;
inline constexpr std::size_t kMaxNotification = 512;  // bytes: two headers and a name

Bytes encode_inval_inode(NodeId node);
Bytes encode_inval_entry(NodeId parent, std::string_view name);
Bytes encode_fence(std::uint64_t number);

enum class NotificationKind { inval_inode, inval_entry, fence };

// What the client accepts. invalid: anything but the three messages above, exactly.
Result<NotificationKind> check_notification(ByteView message);
// invalid: not a fence.
Result<std::uint64_t> decode_fence(ByteView message);

// The enclave's end of the lane: sends invalidations and waits until the client confirms them. Thread-safe.
class Notifier {
 public:
  void set(std::unique_ptr<sys::Stream> lane);
  // unavailable: not confirmed by the deadline; or an earlier message was cut short, which ends the lane's
  // use.
  Status deliver(const std::vector<Bytes>& messages, sys::Deadline deadline);

 private:
  Status await_fence(std::uint64_t number, sys::Deadline deadline);
  std::mutex mutex_;
  std::unique_ptr<sys::Stream> lane_;
  bool broken_ = false;
  std::uint64_t fence_ = 0;
};

}  // namespace cloister::share
