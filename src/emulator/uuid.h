// UUIDs (RFC 9562): the ids of keys and requests.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cloister::emulator {

inline constexpr std::size_t kUuidSize = 16;  // bytes

std::string random_uuid();  // version 4
// 8-4-4-4-12 lower-case hexadecimal digits. bytes: kUuidSize.
std::string uuid_text(ByteView bytes);
// invalid: not such a text.
Result<Bytes> uuid_bytes(std::string_view text);

}  // namespace cloister::emulator
