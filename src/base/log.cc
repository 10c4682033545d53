#include "base/log.h"

#include <unistd.h>

#include <ctime>

namespace cloister {

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    // C1 controls are 0xC2 0x80..0x9F in UTF-8: terminals obey them as they obey ESC.
    bool c1 = byte == 0xC2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xE0) == 0x80;
    if (c1) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

void Log::write(LogLevel level, std::string_view message) const {
  if (level < threshold_) return;
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  auto line =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z {} {}: {}\n", utc.tm_year + 1900,
                  utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000,
                  tag_, kNames[static_cast<int>(level)], escape_controls(message));
  // A log that cannot be written must not stop what it describes.
  [[maybe_unused]] auto written = ::write(fd_, line.data(), line.size());
}

}  // namespace cloister
