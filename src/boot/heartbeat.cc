#include "boot/heartbeat.h"

#include <array>

#include "sys/stream.h"

namespace cloister::boot {

Status send_heartbeat(const sys::Endpoint& parent) {
  auto deadline = sys::Deadline::after(kHeartbeatTimeout);
  sys::FdStream stream(TRY(sys::connect(parent, deadline)));
  stream.set_deadline(deadline);
  std::array<std::uint8_t, 1> beat{kHeartbeat};
  TRY(stream.write_all(beat));
  TRY(sys::read_exactly(stream, beat));
  if (beat[0] != kHeartbeat)
    return fail(ErrorKind::corrupt, "the parent answers the heartbeat with {:#x}", beat[0]);
  return {};
}

}  // namespace cloister::boot
