#include "sys/clock.h"

#include <algorithm>
#include <limits>

namespace cloister::sys {

int Deadline::poll_timeout() const {
  if (never()) return -1;
  auto left = std::chrono::ceil<milliseconds>(at_ - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

UnixMillis SystemClock::now() const {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(since).count();
}

}  // namespace cloister::sys
