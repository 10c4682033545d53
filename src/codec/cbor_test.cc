#include "codec/cbor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace cloister::codec {
namespace {

using ::testing::HasSubstr;

Bytes hex(std::string_view digits) {
  return from_hex(digits).value();
}

// Is this one well-formed item and nothing else?
Status accepts(std::string_view digits, CborMode mode = CborMode::canonical) {
  auto bytes = hex(digits);
  CborReader reader(bytes, mode);
  TRY(reader.skip());
  return reader.finish();
}

void expect_corrupt(std::string_view digits, CborMode mode = CborMode::canonical) {
  auto status = accepts(digits, mode);
  ASSERT_FALSE(status.has_value()) << digits;
  EXPECT_EQ(status.error().kind(), ErrorKind::corrupt) << digits << "" << status.error().message();
}

// Examples of RFC 8949 appendix A.
TEST(Cbor, ReadsIntegersOfTheStandard) {
  struct Case {
    std::string_view digits;
    std::int64_t value;
  };
  for (auto [digits, value] :
       {Case{"00", 0}, Case{"17", 23}, Case{"1818", 24}, Case{"1864", 100}, Case{"1903e8", 1000},
        Case{"1a000f4240", 1000000}, Case{"1b000000e8d4a51000", 1000000000000}, Case{"20", -1},
        Case{"29", -10}, Case{"3863", -100}, Case{"3903e7", -1000},
        Case{"3b7fffffffffffffff", std::numeric_limits<std::int64_t>::min()}}) {
    auto bytes = hex(digits);
    CborReader reader(bytes);
    auto read = reader.integer();
    ASSERT_TRUE(read.has_value()) << digits;
    EXPECT_EQ(*read, value);
    EXPECT_TRUE(reader.finish().has_value());
    EXPECT_EQ(CborWriter().integer(value).view(), bytes);
  }
}

TEST(Cbor, ReadsTheLargestUnsignedInteger) {
  auto bytes = hex("1bffffffffffffffff");
  CborReader reader(bytes);
  EXPECT_EQ(reader.uint().value(), std::numeric_limits<std::uint64_t>::max());
  CborReader narrow(bytes);
  EXPECT_FALSE(narrow.integer().has_value());
}

TEST(Cbor, RefusesIntegersAndLengthsNotInTheirShortestForm) {
  for (auto digits : {"1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "5801aa",
                      "780161", "980100", "b8010000", "d80101"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
}

TEST(Cbor, RefusesFloatsUndefinedSimpleValuesAndReservedForms) {
  for (auto digits : {"f90000", "fa00000000", "fb0000000000000000",
                      "f7",     "f0",         "e0",
                      "f3",     "f820",       "f818",
                      "ff",     "fc",         "1c",
                      "1d",     "1e",         "1f",
                      "3f",     "5c",         "7d",
                      "9e",     "bc",         "dc",
                      "df"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
}

TEST(Cbor, RefusesEveryTruncation) {
  // {1: [true, null, -7], "ab": h'0102', "c": 32(["x", {}])}, keys in canonical order
  auto bytes = hex("a30183f5f6266163d820826178a0626162420102");
  CborReader reader(bytes);
  ASSERT_TRUE(reader.skip().has_value());
  ASSERT_TRUE(reader.finish().has_value());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    for (auto mode : {CborMode::canonical, CborMode::lenient}) {
      CborReader cut(ByteView(bytes).first(size), mode);
      EXPECT_FALSE(cut.skip().has_value()) << size;
    }
  }
}

TEST(Cbor, RefusesTrailingBytesAndSecondItems) {
  expect_corrupt("0000");
  auto bytes = hex("0000");
  CborReader reader(bytes);
  ASSERT_TRUE(reader.uint().has_value());
  EXPECT_FALSE(reader.uint().has_value());
}

TEST(Cbor, RefusesCountsThatTheBytesCannotHold) {
  for (auto digits : {"9bffffffffffffffff", "bbffffffffffffffff", "bb8000000000000000", "5bffffffffffffffff",
                      "7bffffffffffffffff", "9a7fffffff00", "8200"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
}

TEST(Cbor, NestsSixteenDeepAndNoDeeper) {
  auto nested = [](std::size_t depth) { return Bytes(depth, 0x81); };
  for (auto depth : {kMaxCborDepth, kMaxCborDepth + 1, std::size_t{100000}}) {
    auto bytes = nested(depth);
    bytes.push_back(0);
    CborReader reader(bytes);
    EXPECT_EQ(reader.skip().has_value(), depth <= kMaxCborDepth) << depth;
  }
}

TEST(Cbor, PassesOverAHundredThousandTagsWithoutRecursion) {
  Bytes bytes(100000, 0xC1);
  bytes.push_back(0);
  CborReader reader(bytes);
  EXPECT_TRUE(reader.skip().has_value());
  CborReader endless(ByteView(bytes).first(bytes.size() - 1));
  EXPECT_FALSE(endless.skip().has_value());
}

TEST(Cbor, RefusesDuplicateKeysInBothModes) {
  for (auto digits : {"a201000100", "a2616100616100", "a241aa0041aa00", "a220002000"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
  expect_corrupt("bf616100616100ff", CborMode::lenient);
}

TEST(Cbor, CanonicalKeysAreSortedBytewise) {
  // RFC 8949 section 4.2.1: 10, 100, -1, "z", "aa"
  EXPECT_TRUE(accepts("a50a001864002000617a0062616100").has_value());
  for (auto digits : {"a220000a00", "a262616100617a00", "a2617a002000", "a2616200616100", "a21864000a00"}) {
    expect_corrupt(digits);
    EXPECT_TRUE(accepts(digits, CborMode::lenient).has_value()) << digits;
  }
}

TEST(Cbor, KeysAreIntegersOrStrings) {
  for (auto digits : {"a1f500", "a1f600", "a18000", "a1a000", "a1c10000"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
  expect_corrupt("a17f6161ff00", CborMode::lenient);
  expect_corrupt("a15f41aaff00", CborMode::lenient);
}

TEST(Cbor, IndefiniteLengthsAreLenientOnly) {
  for (auto digits : {"9fff", "9f0102ff", "bfff", "bf616100ff", "5fff", "5f41aa4100ff", "7f61616162ff",
                      "9f9f9fffffff", "bf01bf02f5ffff"}) {
    expect_corrupt(digits);
    EXPECT_TRUE(accepts(digits, CborMode::lenient).has_value()) << digits;
  }
}

TEST(Cbor, RefusesMalformedIndefiniteLengths) {
  for (auto digits : {"9f", "9f01", "bf01ff", "bf", "5f", "5f6161ff", "7f41aaff", "5f5f41aaffff", "5f00ff",
                      "9fc1ff", "81ff", "a1ff", "a101ff", "9fffff", "7f61c361a9ff", "bf01c1ff"}) {
    expect_corrupt(digits, CborMode::lenient);
  }
}

TEST(Cbor, JoinsChunks) {
  auto bytes = hex("5f42aabb4041ccff");
  CborReader reader(bytes, CborMode::lenient);
  EXPECT_EQ(reader.bytes(3).value(), hex("aabbcc"));
  EXPECT_TRUE(reader.finish().has_value());
  CborReader small(bytes, CborMode::lenient);
  EXPECT_FALSE(small.bytes(2).has_value());
  CborReader view(bytes, CborMode::lenient);
  EXPECT_FALSE(view.bytes_view(3).has_value());
}

TEST(Cbor, BoundsWhatItReads) {
  auto text = CborWriter().text("four").view();
  EXPECT_EQ(CborReader(text).text(4).value(), "four");
  EXPECT_FALSE(CborReader(text).text(3).has_value());
  EXPECT_FALSE(CborReader(text).text(9, 5).has_value());
  EXPECT_FALSE(CborReader(text).bytes(4).has_value());
  auto number = CborWriter().uint(256).view();
  EXPECT_TRUE(CborReader(number).uint(256).has_value());
  EXPECT_FALSE(CborReader(number).uint(255).has_value());
  EXPECT_FALSE(CborReader(number).integer(0, 255).has_value());
  EXPECT_FALSE(CborReader(number).integer(257, 300).has_value());
  auto bytes = CborWriter().bytes(hex("0102")).view();
  EXPECT_EQ(to_bytes(CborReader(bytes).bytes_view(2, 2).value()), hex("0102"));
  EXPECT_FALSE(CborReader(bytes).bytes_view(1).has_value());
  EXPECT_FALSE(CborReader(bytes).bytes_view(5, 3).has_value());
  auto three = hex("83000000");
  EXPECT_FALSE(CborReader(three).array(2).has_value());
  EXPECT_FALSE(CborReader(three).array_of(2).has_value());
  EXPECT_FALSE(CborReader(three).array_of(4).has_value());
  EXPECT_FALSE(CborReader(three).map(3).has_value());
}

TEST(Cbor, BoundsIndefiniteArrays) {
  auto bytes = hex("9f000000ff");
  CborReader reader(bytes, CborMode::lenient);
  auto array = reader.array(2);
  ASSERT_TRUE(array.has_value());
  EXPECT_TRUE(array->more().value());
  EXPECT_TRUE(reader.uint().has_value());
  EXPECT_TRUE(reader.uint().has_value());
  EXPECT_FALSE(array->more().has_value());
  EXPECT_FALSE(reader.uint().has_value());
}

struct Point {
  std::string name;
  std::uint64_t x = 0;
  std::optional<std::int64_t> y;
  std::vector<std::uint64_t> list;
};

Result<Point> parse_point(ByteView bytes) {
  CborReader reader(bytes);
  Point point;
  auto map = TRY(reader.map(4));
  TRY(map.expect_key("x"));
  point.x = TRY(reader.uint(100));
  if (TRY(map.optional_key("y"))) point.y = TRY(reader.integer());
  TRY(map.expect_key("list"));
  auto array = TRY(reader.array(3));
  while (TRY(array.more())) point.list.push_back(TRY(reader.uint()));
  TRY(array.finish());
  TRY(map.expect_key("name"));
  point.name = TRY(reader.text(8));
  TRY(map.finish());
  TRY(reader.finish());
  return point;
}

CborMapBuilder point_map() {
  CborMapBuilder map;
  map.add_text("name", "p").add("list", [](CborWriter& writer) { writer.array(2).uint(1).uint(2); });
  map.add_uint("x", 7);
  return map;
}

TEST(Cbor, AParserReadsLikeItsSchema) {
  auto map = point_map();
  auto point = parse_point(map.encode());
  ASSERT_TRUE(point.has_value()) << point.error().message();
  EXPECT_EQ(point->name, "p");
  EXPECT_EQ(point->x, 7U);
  EXPECT_FALSE(point->y.has_value());
  EXPECT_EQ(point->list, (std::vector<std::uint64_t>{1, 2}));
  map.add("y", [](CborWriter& writer) { writer.integer(-3); });
  EXPECT_EQ(parse_point(map.encode()).value().y, -3);
}

TEST(Cbor, ASchemaRefusesMissingUnknownAndMistypedEntries) {
  auto message = [](const CborMapBuilder& map) { return parse_point(map.encode()).error().message(); };
  EXPECT_THAT(message(point_map().add_uint("z", 1)), HasSubstr("\"list\" is not here"));
  EXPECT_THAT(message(point_map().add_uint("zzzzz", 1)), HasSubstr("an entry that does not belong here"));
  EXPECT_THAT(message(point_map().add_text("x", "7")), HasSubstr("not an unsigned integer"));
  EXPECT_THAT(message(CborMapBuilder().add_uint("x", 1)), HasSubstr("\"list\" is not here"));
  EXPECT_THAT(message(point_map().add_uint("x", 101)), HasSubstr("above 100"));
}

TEST(Cbor, AnUnfinishedContainerIsADefectOfTheCaller) {
  auto bytes = hex("8100");
  CborReader reader(bytes);
  auto array = reader.array(1);
  ASSERT_TRUE(array.has_value());
  ASSERT_TRUE(reader.uint().has_value());
  ASSERT_FALSE(reader.finish().has_value());
  EXPECT_EQ(reader.finish().error().kind(), ErrorKind::internal);
  EXPECT_TRUE(array->finish().has_value());
  EXPECT_TRUE(reader.finish().has_value());
}

TEST(Cbor, ATagNeedsItsItem) {
  auto bytes = hex("d28100");
  CborReader reader(bytes);
  ASSERT_EQ(reader.peek().value(), CborType::tag);
  ASSERT_EQ(reader.tag().value(), 18U);
  EXPECT_FALSE(reader.finish().has_value());
  auto array = reader.array(1);
  ASSERT_TRUE(array.has_value());
  EXPECT_TRUE(reader.uint().has_value());
  EXPECT_TRUE(array->finish().has_value());
  EXPECT_TRUE(reader.finish().has_value());
}

TEST(Cbor, SkipGivesTheEncodedItem) {
  auto bytes = hex("83018202036161");
  CborReader reader(bytes);
  auto array = reader.array(3);
  ASSERT_TRUE(array.has_value());
  ASSERT_TRUE(reader.uint().has_value());
  EXPECT_EQ(to_bytes(reader.skip().value()), hex("820203"));
  EXPECT_EQ(reader.text(1).value(), "a");
  EXPECT_TRUE(array->finish().has_value());
}

TEST(Cbor, NullIsTakenOnlyWhenThere) {
  auto bytes = hex("82f600");
  CborReader reader(bytes);
  auto array = reader.array(2);
  ASSERT_TRUE(array.has_value());
  EXPECT_TRUE(reader.optional_null().value());
  EXPECT_FALSE(reader.optional_null().value());
  EXPECT_TRUE(reader.uint().has_value());
  EXPECT_TRUE(array->finish().has_value());
}

TEST(Cbor, TextIsUtf8) {
  for (auto digits : {"6161", "62c3a9", "63e282ac", "64f09f9880", "64f48fbfbf", "63ed9fbf", "60"}) {
    EXPECT_TRUE(accepts(digits).has_value()) << digits;
  }
  // Lone continuation, overlong, surrogate, above U+10FFFF, cut short, never a first byte.
  for (auto digits : {"6180", "62c080", "62c1bf", "63e08080", "63eda080", "64f0808080", "64f4908080", "61c3",
                      "62e282", "62c328", "61ff", "64f5808080", "63f09f98"}) {
    expect_corrupt(digits);
    expect_corrupt(digits, CborMode::lenient);
  }
}

TEST(CborWriter, WritesTheShortestForms) {
  CborWriter writer;
  writer.array(9)
      .uint(23)
      .uint(24)
      .uint(255)
      .uint(256)
      .uint(65535)
      .uint(65536)
      .uint(4294967295)
      .uint(4294967296);
  writer.integer(-25);
  EXPECT_EQ(to_hex(writer.view()), "8917181818ff19010019ffff1a000100001affffffff1b00000001000000003818");
}

TEST(CborWriter, WritesEveryType) {
  CborWriter writer;
  writer.tag(18).array(6).bytes(hex("aabb")).text("hi").boolean(true).boolean(false).null().map(0);
  EXPECT_EQ(to_hex(writer.view()), "d28642aabb626869f5f4f6a0");
}

TEST(CborMapBuilder, SortsItsKeys) {
  CborMapBuilder map;
  map.add_boolean("aa", true).add_bytes("z", hex("01"));
  map.add(-1, [](CborWriter& writer) { writer.null(); });
  map.add(100, [](CborWriter& writer) { writer.uint(0); }).add(10, [](CborWriter& writer) {
    writer.uint(0);
  });
  EXPECT_EQ(to_hex(map.encode()), "a50a0018640020f6617a4101626161f5");
  EXPECT_TRUE(accepts(to_hex(map.encode())).has_value());
}

}  // namespace
}  // namespace cloister::codec
