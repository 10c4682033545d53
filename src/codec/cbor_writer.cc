#include "codec/cbor.h"

namespace cloister::codec {

CborWriter& CborWriter::head(unsigned major, std::uint64_t argument) {
  auto type = static_cast<std::uint8_t>(major << 5);
  auto with = [type](unsigned info) { return static_cast<std::uint8_t>(type | info); };
  if (argument < 24) {
    out_.u8(with(static_cast<unsigned>(argument)));
  } else if (argument <= 0xFF) {
    out_.u8(with(24)).u8(static_cast<std::uint8_t>(argument));
  } else if (argument <= 0xFFFF) {
    out_.u8(with(25)).u16(static_cast<std::uint16_t>(argument));
  } else if (argument <= 0xFFFFFFFF) {
    out_.u8(with(26)).u32(static_cast<std::uint32_t>(argument));
  } else {
    out_.u8(with(27)).u64(argument);
  }
  return *this;
}

CborWriter& CborWriter::uint(std::uint64_t value) {
  return head(0, value);
}

CborWriter& CborWriter::integer(std::int64_t value) {
  // -1 - n is stored as n: the complement in two's complement.
  return value < 0 ? head(1, ~static_cast<std::uint64_t>(value)) : head(0, static_cast<std::uint64_t>(value));
}

CborWriter& CborWriter::boolean(bool value) {
  return head(7, value ? 21 : 20);
}
CborWriter& CborWriter::null() {
  return head(7, 22);
}

CborWriter& CborWriter::bytes(ByteView value) {
  head(2, value.size());
  out_.bytes(value);
  return *this;
}

CborWriter& CborWriter::text(std::string_view value) {
  head(3, value.size());
  out_.bytes(as_bytes(value));
  return *this;
}

CborWriter& CborWriter::tag(std::uint64_t value) {
  return head(6, value);
}
CborWriter& CborWriter::array(std::size_t count) {
  return head(4, count);
}
CborWriter& CborWriter::map(std::size_t count) {
  return head(5, count);
}

CborWriter& CborWriter::raw(ByteView encoded) {
  out_.bytes(encoded);
  return *this;
}

CborMapBuilder& CborMapBuilder::add_encoded(Bytes key, const Value& value) {
  CborWriter writer;
  value(writer);
  entries_.insert_or_assign(std::move(key), std::move(writer).take());
  return *this;
}

CborMapBuilder& CborMapBuilder::add(std::string_view key, const Value& value) {
  return add_encoded(CborWriter().text(key).view(), value);
}

CborMapBuilder& CborMapBuilder::add(std::int64_t key, const Value& value) {
  return add_encoded(CborWriter().integer(key).view(), value);
}

CborMapBuilder& CborMapBuilder::add_uint(std::string_view key, std::uint64_t value) {
  return add(key, [value](CborWriter& writer) { writer.uint(value); });
}

CborMapBuilder& CborMapBuilder::add_boolean(std::string_view key, bool value) {
  return add(key, [value](CborWriter& writer) { writer.boolean(value); });
}

CborMapBuilder& CborMapBuilder::add_bytes(std::string_view key, ByteView value) {
  return add(key, [value](CborWriter& writer) { writer.bytes(value); });
}

CborMapBuilder& CborMapBuilder::add_text(std::string_view key, std::string_view value) {
  return add(key, [value](CborWriter& writer) { writer.text(value); });
}

void CborMapBuilder::write_to(CborWriter& writer) const {
  writer.map(entries_.size());
  for (const auto& [key, value] : entries_) writer.raw(key).raw(value);
}

Bytes CborMapBuilder::encode() const {
  CborWriter writer;
  write_to(writer);
  return std::move(writer).take();
}

}  // namespace cloister::codec
