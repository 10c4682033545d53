// Eight bytes a step, each through a table of its own ("slicing by eight"): whole enclave images pass here.
#include "codec/crc32.h"

#include <array>

namespace cloister::codec {

namespace {

constexpr std::uint32_t kPolynomial = 0xedb88320;  // reflected
constexpr std::size_t kSlices = 8;                 // bytes a step

using Table = std::array<std::uint32_t, 256>;

// tables[n][b]: what byte b does to the remainder when n more bytes follow it.
constexpr std::array<Table, kSlices> make_tables() {
  std::array<Table, kSlices> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = value;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      auto shorter = tables[slice - 1][byte];
      tables[slice][byte] = (shorter >> 8) ^ tables[0][shorter & 0xff];
    }
  }
  return tables;
}

constexpr auto kTables = make_tables();

std::uint32_t step(std::uint32_t remainder, const std::uint8_t* at) {
  std::uint32_t next = 0;
  for (std::size_t i = 0; i < kSlices; ++i) {
    auto mixed = at[i] ^ (i < sizeof remainder ? (remainder >> (8 * i)) & 0xff : 0);
    next ^= kTables[kSlices - 1 - i][mixed];
  }
  return next;
}

}  // namespace

std::uint32_t crc32(ByteView data, std::uint32_t before) {
  std::uint32_t remainder = ~before;
  while (data.size() >= kSlices) {
    remainder = step(remainder, data.data());
    data = data.subspan(kSlices);
  }
  for (auto byte : data) remainder = (remainder >> 8) ^ kTables[0][(remainder ^ byte) & 0xff];
  return ~remainder;
}

}  // namespace cloister::codec
