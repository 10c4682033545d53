#include "http/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cloister::http {
namespace {

TEST(Json, RefusesWhatHasTwoReadings) {
  for (const char* text : {
           "",
           " ",
           "{",
           "{\"a\":1",
           "{\"a\":1}x",
           "{\"a\":1}{}",
           "{\"a\":1,}",
           "{a:1}",
           "{'a':1}",
           "[1,]",
           "01",
           "{\"a\":1,\"a\":2}",
           "{\"x\":{\"a\":1,\"b\":2,\"a\":null}}",
           "{\"a\":1,\"\\u0061\":2}",
           "NaN",
           "1e999",
           "// c\n1",
           "\"\xff\"",
           "\"\xc0\x80\"",
           "\"\\ud800\"",
           "\"a\nb\"",
       }) {
    auto parsed = parse_json(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::invalid);
  }
}

TEST(Json, BoundsDepth) {
  auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth)));
  EXPECT_FALSE(parse_json(nested(kMaxJsonDepth + 1)));
  EXPECT_FALSE(parse_json(std::string(1000000, '[')));
}

TEST(Json, KeepsValues) {
  auto parsed =
      parse_json(R"( {"a":{"b":[1,-2,2.5,true,null,{"c":[]}],"a":"same name, other object"},"z":"é"} )");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(format_json(*parsed),
            R"({"a":{"a":"same name, other object","b":[1,-2,2.5,true,null,{"c":[]}]},"z":"é"})");
  EXPECT_EQ(*find_text(*parsed, "z"), "é");
  EXPECT_EQ(find_text(*parsed, "a"), nullptr);
  EXPECT_EQ(find_text(*parsed, "y"), nullptr);
  EXPECT_EQ(find_text(Json(3), "y"), nullptr);
}

}  // namespace
}  // namespace cloister::http
