#include "enclave/event_log.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloister::enclave {

void EventLog::append(std::string line) {
  std::unique_lock lock(mutex_);
  // Only the part that the furthest follower has not read yet holds the writer up.
  changed_.wait(lock, [&] {
    if (followers_ == 0 || abandoned_ || bytes_ + line.size() <= kMaxEventBytes) return true;
    while (bytes_ + line.size() > kMaxEventBytes && first_ < furthest_read_) drop_oldest();
    return bytes_ + line.size() <= kMaxEventBytes;
  });
  while (!lines_.empty() && bytes_ + line.size() > kMaxEventBytes) drop_oldest();
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  changed_.notify_all();
}

void EventLog::finish(std::string last_line) {
  std::lock_guard lock(mutex_);
  bytes_ += last_line.size();
  lines_.push_back(std::move(last_line));
  finished_ = true;
  changed_.notify_all();
}

void EventLog::abandon() {
  std::lock_guard lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
}

std::size_t EventLog::bytes() {
  std::lock_guard lock(mutex_);
  return bytes_;
}

std::optional<std::chrono::milliseconds> EventLog::unfollowed() {
  std::lock_guard lock(mutex_);
  if (followers_ > 0) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               last_followed_);
}

void EventLog::drop_oldest() {
  bytes_ -= lines_.front().size();
  dropped_bytes_ += lines_.front().size();
  lines_.pop_front();
  ++first_;
}

EventLog::Follower::Follower(EventLog& log) : log_(log) {
  std::lock_guard lock(log_.mutex_);
  ++log_.followers_;
}

EventLog::Follower::~Follower() {
  std::lock_guard lock(log_.mutex_);
  --log_.followers_;
  log_.last_followed_ = std::chrono::steady_clock::now();
  log_.changed_.notify_all();
}

// What was dropped between the last event given and the oldest kept.
std::optional<std::string> EventLog::Follower::gap() {
  if (position_ >= log_.first_) return std::nullopt;
  position_ = log_.first_;
  auto lost = log_.dropped_bytes_ - std::exchange(byte_position_, log_.dropped_bytes_);
  return fmt::format(R"({{"event":"dropped","bytes":{}}})", lost);
}

std::optional<std::string> EventLog::Follower::next(std::chrono::milliseconds patience) {
  std::unique_lock lock(log_.mutex_);
  bool spoken = log_.changed_.wait_for(
      lock, patience, [&] { return log_.finished_ || position_ < log_.first_ + log_.lines_.size(); });
  if (auto lost = gap()) return lost;
  if (!spoken) return R"({"event":"alive"})";
  if (position_ >= log_.first_ + log_.lines_.size()) return std::nullopt;
  auto line = log_.lines_[position_ - log_.first_];
  ++position_;
  byte_position_ += line.size();
  log_.furthest_read_ = std::max(log_.furthest_read_, position_);
  log_.changed_.notify_all();
  return line;
}

}  // namespace cloister::enclave
