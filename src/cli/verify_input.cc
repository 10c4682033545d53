#include "cli/verify_input.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "attestation/document.h"
#include "codec/base64.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

// A document in base64, with line breaks after every few characters.
constexpr std::size_t kMaxInput = 2 * attestation::kMaxDocument;  // bytes
constexpr sys::UnixMillis kSecond = 1000;
constexpr sys::UnixMillis kMinute = 60 * kSecond;
constexpr std::size_t kDateTimeSize = 19;  // "2022-10-13T09:00:00"
constexpr std::size_t kZoneSize = 6;       // "+02:00"
constexpr std::size_t kMaxFraction = 9;    // digits

bool is_space(std::uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool is_text(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t c) { return is_space(c) || (c > ' ' && c < 0x7f); });
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

Result<int> number(std::string_view digits, int max) {
  int value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  bool whole =
      std::ranges::all_of(digits, is_digit) && error == std::errc() && end == digits.data() + digits.size();
  if (!whole || value > max) return fail(ErrorKind::invalid, "not a time");
  return value;
}

// Minutes east of UTC.
Result<int> parse_zone(std::string_view zone) {
  if (zone == "Z" || zone == "z") return 0;
  if (zone.size() != kZoneSize || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':')
    return fail(ErrorKind::invalid, "no zone: Z, or +02:00");
  int minutes = TRY(number(zone.substr(1, 2), 23)) * 60 + TRY(number(zone.substr(4, 2), 59));
  return zone[0] == '-' ? -minutes : minutes;
}

Result<sys::UnixMillis> parse_date_time(std::string_view text) {
  bool shaped = text.size() == kDateTimeSize && text[4] == '-' && text[7] == '-' &&
                (text[10] == 'T' || text[10] == 't') && text[13] == ':' && text[16] == ':';
  if (!shaped) return fail(ErrorKind::invalid, "not a time");
  tm parts{};
  parts.tm_year = TRY(number(text.substr(0, 4), 9999)) - 1900;
  parts.tm_mon = TRY(number(text.substr(5, 2), 12)) - 1;
  parts.tm_mday = TRY(number(text.substr(8, 2), 31));
  parts.tm_hour = TRY(number(text.substr(11, 2), 23));
  parts.tm_min = TRY(number(text.substr(14, 2), 59));
  parts.tm_sec = TRY(number(text.substr(17, 2), 59));
  tm normal = parts;
  auto seconds = ::timegm(&normal);
  if (normal.tm_mday != parts.tm_mday || normal.tm_mon != parts.tm_mon)
    return fail(ErrorKind::invalid, "no such day");
  return static_cast<sys::UnixMillis>(seconds) * kSecond;
}

// ".25" in milliseconds, and how long it is.
Result<std::pair<int, std::size_t>> parse_fraction(std::string_view rest) {
  if (rest.empty() || rest.front() != '.') return std::pair(0, std::size_t{0});
  auto digits = rest.substr(1, std::ranges::find_if_not(rest.substr(1), is_digit) - rest.begin() - 1);
  if (digits.empty() || digits.size() > kMaxFraction) return fail(ErrorKind::invalid, "not a time");
  auto padded = (std::string(digits) + "00").substr(0, 3);
  return std::pair(TRY(number(padded, 999)), digits.size() + 1);
}

Result<sys::UnixMillis> parse_whole(std::string_view text) {
  auto at = TRY(parse_date_time(text.substr(0, kDateTimeSize)));
  auto rest = text.substr(kDateTimeSize);
  auto [millis, size] = TRY(parse_fraction(rest));
  return at + millis - TRY(parse_zone(rest.substr(size))) * kMinute;
}

}  // namespace

Result<Bytes> read_document(const std::string& path) {
  auto bytes = TRY(path == "-" ? sys::read_all(STDIN_FILENO, kMaxInput, "standard input")
                               : sys::read_file(path, kMaxInput));
  if (bytes.empty() || !is_text(bytes)) return bytes;
  std::erase_if(bytes, is_space);
  auto decoded = codec::from_base64(as_text(bytes));
  if (!decoded) return fail(ErrorKind::invalid, "text, but not a document in base64");
  return decoded;
}

Result<sys::UnixMillis> parse_time(std::string_view text) {
  return parse_whole(text)
      .context(fmt::format("time '{}'", text))
      .with_hint("as in 2022-10-13T09:00:00Z (RFC 3339)");
}

std::string utc(sys::UnixMillis at) {
  time_t seconds = at / kSecond;
  tm parts{};
  std::array<char, 40> text{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return fmt::format("{} ms after 1970", at);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

std::string ago(sys::UnixMillis at, sys::UnixMillis now) {
  struct Unit {
    const char* name;
    sys::UnixMillis size;
  };
  constexpr sys::UnixMillis kDay = 24 * 60 * kMinute;
  constexpr std::array<Unit, 5> kUnits{{{"year", 365 * kDay},
                                        {"day", kDay},
                                        {"hour", 60 * kMinute},
                                        {"minute", kMinute},
                                        {"second", kSecond}}};
  auto distance = now > at ? now - at : at - now;
  const auto* unit = std::ranges::find_if(kUnits, [distance](const Unit& u) { return distance >= u.size; });
  if (unit == kUnits.end()) return "just now";
  auto count = distance / unit->size;
  auto words = fmt::format("{} {}{}", count, unit->name, count == 1 ? "" : "s");
  return now > at ? words + " ago" : "in " + words;
}

}  // namespace cloister::cli
