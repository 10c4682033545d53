// A vhost-user back end for a device of one queue (QEMU, docs/interop/vhost-user.rst): QEMU shares the
// guest's memory and passes its doorbells over a unix socket, and whoever serves it is the device.
#pragma once

#include <functional>

#include "emulator/virtqueue.h"
#include "sys/fd.h"

namespace cloister::emulator {

inline constexpr std::uint32_t kMaxVhostPayload = 4096;  // bytes of one message
inline constexpr std::size_t kMaxVhostFds = 8;

// What the device does when the queue's bell has rung: takes chains and gives them back. true: it gave some.
using QueueHandler = std::function<Result<bool>(Virtqueue&)>;

// Serves one front end until it is gone (success) or breaks the protocol (invalid).
Status serve_vhost_user(sys::Fd front_end, const QueueHandler& handler);

}  // namespace cloister::emulator
