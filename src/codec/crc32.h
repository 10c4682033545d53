// CRC-32 as zip, PNG and enclave images have it (ISO-HDLC: reflected polynomial 0xedb88320). Finds accidents,
// no attacker.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace cloister::codec {

// Over parts that arrive one after another: crc32(b, crc32(a)) is that of a ‖ b.
std::uint32_t crc32(ByteView data, std::uint32_t before = 0);

}  // namespace cloister::codec
