// Base64 (RFC 4648 section 4): the standard alphabet, padded. Hexadecimal is in base/bytes.h.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cloister::codec {

std::string to_base64(ByteView bytes);

// One text for each byte string: padding required, no white space, no line breaks, unused bits zero. invalid:
// anything else.
Result<Bytes> from_base64(std::string_view text);

}  // namespace cloister::codec
