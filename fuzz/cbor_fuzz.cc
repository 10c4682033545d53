// CBOR, base64 and COSE. Beyond not crashing: what the canonical reader accepts, the lenient one accepts;
// what is accepted is accepted again when cut out; base64 has one text for each byte string.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/cose.h"

namespace {

using cloister::ByteView;
using cloister::codec::CborMode;
using cloister::codec::CborReader;

void require(bool condition) {
  if (!condition) std::abort();
}

bool accepts(ByteView bytes, CborMode mode) {
  CborReader reader(bytes, mode);
  auto item = reader.skip();
  if (!item.has_value()) return false;
  CborReader again(*item, mode);
  require(again.skip().has_value() && again.finish().has_value());
  return reader.finish().has_value();
}

void check_base64(ByteView bytes) {
  auto text = cloister::codec::to_base64(bytes);
  auto decoded = cloister::codec::from_base64(text);
  require(decoded.has_value() && std::ranges::equal(*decoded, bytes));
  auto direct = cloister::codec::from_base64(cloister::as_text(bytes));
  require(!direct.has_value() || cloister::codec::to_base64(*direct) == cloister::as_text(bytes));
}

void check_cose(ByteView bytes) {
  auto message = cloister::codec::CoseSign1::parse(bytes, bytes.size());
  if (!message.has_value()) return;
  auto again = cloister::codec::CoseSign1::parse(message->encode(), bytes.size());
  require(again.has_value() && again->payload == message->payload && again->signature == message->signature);
  require(again->signed_bytes() == message->signed_bytes());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView bytes(data, size);
  bool canonical = accepts(bytes, CborMode::canonical);
  bool lenient = accepts(bytes, CborMode::lenient);
  require(!canonical || lenient);
  check_base64(bytes);
  check_cose(bytes);
  return 0;
}
