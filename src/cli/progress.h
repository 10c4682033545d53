// A progress bar on a terminal, and nothing on a pipe.
#pragma once

#include <cstdint>
#include <string>

#include "sys/clock.h"

namespace cloister::cli {

// Owned by the verb that works; one thread.
class Progress {
 public:
  Progress(std::string what, bool terminal) : what_(std::move(what)), terminal_(terminal) {}
  // Bytes done, of how many in all. Redraws a few times a second at most.
  void show(std::uint64_t done, std::uint64_t total);
  // Clears the bar.
  void finish();

 private:
  std::string what_;
  bool terminal_;
  bool drawn_ = false;
  sys::Deadline next_ = sys::Deadline::after(sys::milliseconds(0));
};

}  // namespace cloister::cli
