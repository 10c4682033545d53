#include "emulator/uuid.h"

#include "crypto/digest.h"

namespace cloister::emulator {

std::string random_uuid() {
  auto bytes = crypto::random_bytes(kUuidSize);
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3F) | 0x80);
  return uuid_text(bytes);
}

std::string uuid_text(ByteView bytes) {
  auto part = [&](std::size_t at, std::size_t count) { return to_hex(bytes.subspan(at, count)); };
  return fmt::format("{}-{}-{}-{}-{}", part(0, 4), part(4, 2), part(6, 2), part(8, 2), part(10, 6));
}

Result<Bytes> uuid_bytes(std::string_view text) {
  std::string hex;
  for (char c : text) {
    if (c != '-') hex.push_back(c);
  }
  auto out = TRY(from_hex(hex));
  if (out.size() != kUuidSize || uuid_text(out) != text) return fail(ErrorKind::invalid, "not a UUID");
  return out;
}

}  // namespace cloister::emulator
