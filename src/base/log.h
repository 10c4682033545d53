// Log: one line per event on a file descriptor. Everything from outside is escaped, so that a peer can
// neither forge a line nor drive a terminal. Thread-safe: one write(2) per line.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace cloister {

// Control characters, DEL and C1 controls become \xNN; the rest of the UTF-8 stays as it is.
std::string escape_controls(std::string_view text);

enum class LogLevel { debug, info, warning, error };

class Log {
 public:
  Log(int fd, std::string tag, LogLevel threshold = LogLevel::info)
      : fd_(fd), tag_(std::move(tag)), threshold_(threshold) {}

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
  }

  // The same destination under another tag (one per process and per job).
  Log tagged(std::string tag) const { return Log(fd_, std::move(tag), threshold_); }

 private:
  void write(LogLevel level, std::string_view message) const;
  int fd_;
  std::string tag_;
  LogLevel threshold_;
};

}  // namespace cloister
