#include "kms/times.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace cloister::kms {

namespace {

using std::chrono::day;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct Civil {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  unsigned weekday = 0;  // 0 is Sunday
};

Civil civil_from(sys::UnixMillis at) {
  auto moment = std::chrono::sys_time<sys::milliseconds>(sys::milliseconds(at));
  auto date = std::chrono::floor<std::chrono::days>(moment);
  year_month_day ymd(date);
  std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(moment - date));
  return {static_cast<int>(ymd.year()),
          static_cast<unsigned>(ymd.month()),
          static_cast<unsigned>(ymd.day()),
          static_cast<unsigned>(time.hours().count()),
          static_cast<unsigned>(time.minutes().count()),
          static_cast<unsigned>(time.seconds().count()),
          std::chrono::weekday(date).c_encoding()};
}

Result<sys::UnixMillis> millis_from(const Civil& civil) {
  year_month_day ymd(year(civil.year), month(civil.month), day(civil.day));
  // A leap second is counted as the next one.
  if (!ymd.ok() || civil.hour > 23 || civil.minute > 59 || civil.second > 60) {
    return fail(ErrorKind::invalid, "not a moment in time");
  }
  std::chrono::seconds at = sys_days(ymd).time_since_epoch();
  at += std::chrono::hours(civil.hour) + std::chrono::minutes(civil.minute) +
        std::chrono::seconds(civil.second);
  return at.count() * 1000;
}

// Checks `text` against a pattern in which '0' stands for a digit and '?' for anything.
bool matches(std::string_view text, std::string_view pattern) {
  return std::ranges::equal(
      text, pattern, [](char c, char p) { return p == '?' || (p == '0' ? c >= '0' && c <= '9' : c == p); });
}

unsigned number(std::string_view digits) {
  unsigned value = 0;
  for (char c : digits) value = value * 10 + static_cast<unsigned>(c - '0');
  return value;
}

}  // namespace

std::string format_amz_date(sys::UnixMillis at) {
  auto t = civil_from(at);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second);
}

Result<sys::UnixMillis> parse_amz_date(std::string_view text) {
  if (!matches(text, "00000000T000000Z"))
    return fail(ErrorKind::invalid, "not a date in the form YYYYMMDDThhmmssZ");
  return millis_from({static_cast<int>(number(text.substr(0, 4))), number(text.substr(4, 2)),
                      number(text.substr(6, 2)), number(text.substr(9, 2)), number(text.substr(11, 2)),
                      number(text.substr(13, 2))});
}

std::string format_http_date(sys::UnixMillis at) {
  auto t = civil_from(at);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[t.weekday], t.day,
                     kMonths[t.month - 1], t.year, t.hour, t.minute, t.second);
}

Result<sys::UnixMillis> parse_http_date(std::string_view text) {
  if (!matches(text, "???, 00 ??? 0000 00:00:00 GMT")) return fail(ErrorKind::invalid, "not an HTTP date");
  auto found = std::ranges::find(kMonths, text.substr(8, 3));
  if (found == kMonths.end()) return fail(ErrorKind::invalid, "not an HTTP date");
  return millis_from({static_cast<int>(number(text.substr(12, 4))),
                      static_cast<unsigned>(found - kMonths.begin()) + 1, number(text.substr(5, 2)),
                      number(text.substr(17, 2)), number(text.substr(20, 2)), number(text.substr(23, 2))});
}

std::string format_iso_time(sys::UnixMillis at) {
  auto t = civil_from(at);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute,
                     t.second);
}

Result<sys::UnixMillis> parse_iso_time(std::string_view text) {
  constexpr std::string_view kPattern = "0000-00-00T00:00:00";
  constexpr std::string_view kOffset = "?00:00";
  auto moment = text.substr(0, kPattern.size());
  auto zone = text.substr(moment.size());
  if (zone.starts_with('.')) {
    auto end = zone.find_first_not_of("0123456789", 1);
    if (end == 1) return fail(ErrorKind::invalid, "not a time in the form YYYY-MM-DDThh:mm:ssZ");
    zone.remove_prefix(std::min(end, zone.size()));
  }
  bool offset = matches(zone, kOffset) && (zone.front() == '+' || zone.front() == '-');
  if (!matches(moment, kPattern) || (zone != "Z" && !offset))
    return fail(ErrorKind::invalid, "not a time in the form YYYY-MM-DDThh:mm:ssZ");
  auto local = TRY(millis_from({static_cast<int>(number(moment.substr(0, 4))), number(moment.substr(5, 2)),
                                number(moment.substr(8, 2)), number(moment.substr(11, 2)),
                                number(moment.substr(14, 2)), number(moment.substr(17, 2))}));
  if (!offset) return local;
  sys::milliseconds ahead =
      std::chrono::hours(number(zone.substr(1, 2))) + std::chrono::minutes(number(zone.substr(4, 2)));
  sys::UnixMillis east = ahead.count();
  return zone.front() == '+' ? local - east : local + east;
}

}  // namespace cloister::kms
