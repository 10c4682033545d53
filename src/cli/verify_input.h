// What people hand to `cloister verify`: documents as bytes or as the base64 that samples print, and times.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "sys/clock.h"

namespace cloister::cli {

// The bytes of a document in a file, or on standard input for "-". Text is taken as base64, white space
// ignored: no document begins with a letter. exhausted: too large for any document.
Result<Bytes> read_document(const std::string& path);

// "2022-10-13T09:00:00Z", with a fraction or another zone as RFC 3339 has them. invalid: anything else.
Result<sys::UnixMillis> parse_time(std::string_view text);

std::string utc(sys::UnixMillis at);  // "2022-10-13 09:00:00 UTC"

// "4 years ago", "12 seconds ago", "in 3 hours": the largest unit, rounded down.
std::string ago(sys::UnixMillis at, sys::UnixMillis now);

}  // namespace cloister::cli
