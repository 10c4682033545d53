// Dates in policies ("Date condition operators" of the IAM user guide): one of the W3C's profiles of ISO
// 8601, or seconds since 1970.
#pragma once

#include <optional>
#include <string_view>

namespace cloister::iam {

// Seconds since 1970. "2026-01-31", "2026-01-31T12:00Z", "2026-01-31T12:00:00.5+01:00", "1780315200". Nothing
// for any other form and for days that no calendar has.
std::optional<double> parse_policy_date(std::string_view text);
// A decimal number without exponent; never infinite, never NaN.
std::optional<double> parse_policy_number(std::string_view text);

}  // namespace cloister::iam
