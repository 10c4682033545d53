#include "codec/image_contents.h"

#include <gtest/gtest.h>

namespace cloister::codec {
namespace {

TEST(ImageContents, AreTwoNumbers) {
  EXPECT_EQ(parse_contents("12 34567890123\n").value(), (Contents{.files = 12, .bytes = 34567890123}));
  EXPECT_EQ(to_text({.files = 12, .bytes = 34567890123}), "12 34567890123\n");
  for (std::string_view text : {"", "\n", "12\n", "12 34", "12 \n", " 34\n", "a b\n", "1 2 3\n", "-1 2\n",
                                "0x1 2\n", "99999999999999999999999 1\n"})
    EXPECT_FALSE(parse_contents(text)) << text;
}

}  // namespace
}  // namespace cloister::codec
