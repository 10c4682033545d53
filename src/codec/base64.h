// Base64 (RFC 4648): the standard alphabet (section 4) and that of URLs (section 5), both padded. Hexadecimal
// is in base/bytes.h.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cloister::codec {

std::string to_base64(ByteView bytes);

// One text for each byte string: padding required, no white space, no line breaks, unused bits zero. invalid:
// anything else.
Result<Bytes> from_base64(std::string_view text);
// The same with '-' and '_' in place of '+' and '/'.
Result<Bytes> from_base64url(std::string_view text);

}  // namespace cloister::codec
