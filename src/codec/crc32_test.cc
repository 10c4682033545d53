#include "codec/crc32.h"

#include <gtest/gtest.h>

namespace cloister::codec {
namespace {

TEST(Crc32, KnownAnswers) {
  EXPECT_EQ(crc32({}), 0u);
  EXPECT_EQ(crc32(as_bytes("123456789")), 0xcbf43926u);  // the check value of its catalogue entry
  EXPECT_EQ(crc32(as_bytes("The quick brown fox jumps over the lazy dog")), 0x414fa339u);
}

TEST(Crc32, PartsGiveWhatTheWholeGives) {
  Bytes data;
  for (int i = 0; i < 200; ++i) data.push_back(static_cast<std::uint8_t>(i * 37));
  auto whole = crc32(data);
  for (std::size_t cut = 0; cut <= data.size(); ++cut) {
    ByteView view(data);
    EXPECT_EQ(crc32(view.subspan(cut), crc32(view.first(cut))), whole) << cut;
  }
}

}  // namespace
}  // namespace cloister::codec
