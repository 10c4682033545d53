// What a job has to tell: its events in order, kept within a bound, read by any number of followers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace cloister::enclave {

inline constexpr std::size_t kMaxEventBytes = 1024 * 1024;  // kept per job
inline constexpr std::size_t kMaxOutputPiece = 16 * 1024;   // bytes of output in one event

inline constexpr std::chrono::milliseconds kAlivePause = std::chrono::seconds(10);

// Owned by a job; thread-safe. While somebody follows, a full log makes the writer wait (the application then
// blocks on its pipe); without followers the oldest events are dropped. Every follower is told of the gaps it
// meets.
class EventLog {
 public:
  // line: one event as JSON, without its newline.
  void append(std::string line);
  // No event comes after this one; it is kept even when the log is full.
  void finish(std::string last_line);
  // Wakes a waiting writer for good: the job is being thrown away.
  void abandon();
  std::size_t bytes();
  // For how long nobody has followed; nullopt while somebody does.
  std::optional<std::chrono::milliseconds> unfollowed();

  // Reads from the oldest event kept, in order.
  class Follower {
   public:
    explicit Follower(EventLog& log);
    ~Follower();
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    // Waits for the next event; nullopt after the last. When nothing comes for `patience`, an "alive" event:
    // a follower that has gone away is noticed by writing to it.
    std::optional<std::string> next(std::chrono::milliseconds patience = kAlivePause);

   private:
    std::optional<std::string> gap();
    EventLog& log_;
    std::uint64_t position_ = 0;       // sequence number of the next event
    std::uint64_t byte_position_ = 0;  // bytes of all events before it
  };

 private:
  void drop_oldest();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  std::uint64_t first_ = 0;  // sequence number of lines_.front()
  std::size_t bytes_ = 0;
  std::uint64_t dropped_bytes_ = 0;  // of all events before first_
  std::uint64_t furthest_read_ = 0;  // sequence number up to which some follower has read
  int followers_ = 0;
  std::chrono::steady_clock::time_point last_followed_ = std::chrono::steady_clock::now();
  bool finished_ = false;
  bool abandoned_ = false;
};

}  // namespace cloister::enclave
