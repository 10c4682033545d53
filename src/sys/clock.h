// Time: deadlines on the monotonic clock, and the wall clock behind a seam that a test can replace.
#pragma once

#include <chrono>
#include <cstdint>

namespace cloister::sys {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A moment on the monotonic clock by which a call must have finished. Default: never.
class Deadline {
 public:
  Deadline() = default;
  static Deadline after(milliseconds delay) { return Deadline(std::chrono::steady_clock::now() + delay); }

  bool never() const { return at_ == std::chrono::steady_clock::time_point::max(); }
  bool passed() const { return !never() && std::chrono::steady_clock::now() >= at_; }
  // For poll(2): milliseconds left, at least 0; -1 for never.
  int poll_timeout() const;

 private:
  explicit Deadline(std::chrono::steady_clock::time_point at) : at_(at) {}
  std::chrono::steady_clock::time_point at_ = std::chrono::steady_clock::time_point::max();
};

// Milliseconds since 1970, UTC.
using UnixMillis = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual UnixMillis now() const = 0;
};

class SystemClock final : public Clock {
 public:
  UnixMillis now() const override;
};

class FixedClock final : public Clock {
 public:
  explicit FixedClock(UnixMillis at) : at_(at) {}
  UnixMillis now() const override { return at_; }
  void set(UnixMillis at) { at_ = at; }

 private:
  UnixMillis at_;
};

}  // namespace cloister::sys
