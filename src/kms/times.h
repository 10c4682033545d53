// Moments as AWS and HTTP write them; always UTC, whole seconds.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/clock.h"

namespace cloister::kms {

// 20150830T123600Z, of X-Amz-Date. invalid: any other form, or a date that is none.
std::string format_amz_date(sys::UnixMillis at);
Result<sys::UnixMillis> parse_amz_date(std::string_view text);

// Sun, 06 Nov 1994 08:49:37 GMT (IMF-fixdate, RFC 9110 section 5.6.7), of the Date field.
std::string format_http_date(sys::UnixMillis at);
Result<sys::UnixMillis> parse_http_date(std::string_view text);

// 2015-08-30T12:36:00Z (ISO 8601), of expirations; written with Z, read with a fraction or +hh:mm too.
std::string format_iso_time(sys::UnixMillis at);
Result<sys::UnixMillis> parse_iso_time(std::string_view text);

}  // namespace cloister::kms
