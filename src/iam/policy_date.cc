#include "iam/policy_date.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

namespace cloister::iam {

namespace {

constexpr int kSecondsPerMinute = 60;
constexpr int kMinutesPerHour = 60;

// Takes digits and marks from the front; once something did not fit, everything after fails too.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : rest_(text) {}

  int number(std::size_t digits, int max) {
    int value = 0;
    auto part = rest_.substr(0, digits);
    bool sound = part.size() == digits && std::all_of(part.begin(), part.end(), is_digit);
    if (sound) std::from_chars(part.data(), part.data() + part.size(), value);
    if (!sound || value > max) return give_up();
    rest_.remove_prefix(digits);
    return value;
  }
  bool take(char mark) {
    if (!rest_.starts_with(mark)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void require(char mark) {
    if (!take(mark)) give_up();
  }
  // ".25": digits after a point.
  double fraction() {
    if (!take('.')) return 0;
    auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
    auto digits = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    if (digits.empty()) return give_up();
    double value = 0;
    double unit = 1;
    for (char c : digits) value += (c - '0') * (unit /= 10);
    rest_.remove_prefix(digits.size());
    return value;
  }
  // "Z", "+01:00", "-05:30": minutes east of Greenwich.
  int zone() {
    constexpr int kMaxHours = 23;
    if (take('Z')) return 0;
    bool east = take('+');
    if (!east) require('-');
    int minutes = number(2, kMaxHours) * kMinutesPerHour;
    require(':');
    minutes += number(2, kMinutesPerHour - 1);
    return east ? minutes : -minutes;
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  int give_up() {
    failed_ = true;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace

std::optional<double> parse_policy_number(std::string_view text) {
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  // "nan" is a number to from_chars, and equal to anything that neither precedes nor follows it.
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

std::optional<double> parse_policy_date(std::string_view text) {
  if (auto epoch = parse_policy_number(text)) return epoch;
  DateReader in(text);
  auto year = std::chrono::year(in.number(4, 9999));
  in.require('-');
  auto month = std::chrono::month(static_cast<unsigned>(in.number(2, 12)));
  in.require('-');
  std::chrono::year_month_day day(year, month, std::chrono::day(static_cast<unsigned>(in.number(2, 31))));
  if (in.failed() || !day.ok()) return {};
  double seconds =
      static_cast<double>(std::chrono::seconds(std::chrono::sys_days(day).time_since_epoch()).count());
  if (in.at_end()) return seconds;
  in.require('T');
  seconds += in.number(2, 23) * kMinutesPerHour * kSecondsPerMinute;
  in.require(':');
  seconds += in.number(2, 59) * kSecondsPerMinute;
  if (in.take(':')) seconds += in.number(2, 59) + in.fraction();
  seconds -= in.zone() * kSecondsPerMinute;
  if (in.failed() || !in.at_end()) return {};
  return seconds;
}

}  // namespace cloister::iam
