#include <algorithm>

#include "codec/cbor.h"

namespace cloister::codec {

Result<bool> CborArray::more() {
  return reader_->more(depth_);
}
Status CborArray::finish() {
  return reader_->close(depth_);
}

// Definite and shortest: the bytes decide.
Result<bool> CborMap::take_encoded(ByteView key) {
  if (!TRY(reader_->more(depth_))) return false;
  auto start = reader_->offset();
  auto ahead = reader_->all_.subspan(start);
  if (ahead.size() < key.size() || !std::ranges::equal(ahead.first(key.size()), key)) return false;
  TRY(reader_->rest_.bytes(key.size()));
  TRY(reader_->complete(start));
  return true;
}

Status CborMap::expect_encoded(ByteView key, std::string_view name) {
  if (!TRY(take_encoded(key))) return reader_->refuse(fmt::format("the key {} is not here", name));
  return {};
}

Result<bool> CborMap::optional_key(std::string_view key) {
  return take_encoded(CborWriter().text(key).view());
}
Result<bool> CborMap::optional_key(std::int64_t key) {
  return take_encoded(CborWriter().integer(key).view());
}

Status CborMap::expect_key(std::string_view key) {
  return expect_encoded(CborWriter().text(key).view(), fmt::format("\"{}\"", key));
}

Status CborMap::expect_key(std::int64_t key) {
  return expect_encoded(CborWriter().integer(key).view(), std::to_string(key));
}

}  // namespace cloister::codec
