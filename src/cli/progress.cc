#include "cli/progress.h"

#include <fmt/format.h>

#include <cstdio>

namespace cloister::cli {

namespace {

constexpr sys::milliseconds kRedraw{200};
constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::size_t kBarWidth = 30;  // characters

}  // namespace

void Progress::show(std::uint64_t done, std::uint64_t total) {
  if (!terminal_ || !next_.passed() || total == 0) return;
  next_ = sys::Deadline::after(kRedraw);
  drawn_ = true;
  auto filled = static_cast<std::size_t>(done * kBarWidth / total);
  fmt::print(stderr, "\r{} [{:<{}}] {}/{} MiB", what_, std::string(std::min(filled, kBarWidth), '#'),
             kBarWidth, done / kMib, total / kMib);
  std::fflush(stderr);
}

void Progress::finish() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace cloister::cli
