#include "kms/words.h"

#include <gtest/gtest.h>

namespace cloister::kms {
namespace {

using Words = std::vector<std::string>;

TEST(Words, SplitAsAShellDoes) {
  const std::pair<const char*, Words> rows[] = {
      {"", {}},
      {"   ", {}},
      {"-d /dataset/ -o /output/", {"-d", "/dataset/", "-o", "/output/"}},
      {"a\tb\nc", {"a", "b", "c"}},
      {"'two words' \"and three\"", {"two words", "and three"}},
      {"pre'fix'\"ed\"", {"prefixed"}},
      {"''", {""}},
      {"a \"\" b", {"a", "", "b"}},
      {"two\\ words", {"two words"}},
      {"'\\n'", {"\\n"}},
      {"\"\\n \\\" \\\\ \\$\"", {"\\n \" \\ $"}},
      {"$HOME *.py `id`", {"$HOME", "*.py", "`id`"}},
  };
  for (const auto& [text, expected] : rows) {
    auto words = split_words(text);
    ASSERT_TRUE(words) << text;
    EXPECT_EQ(*words, expected) << text;
  }
}

TEST(Words, RefusesWhatAShellWouldAskToContinue) {
  for (const char* text : {"'open", "\"open", "back\\", "\"a\\"}) {
    auto words = split_words(text);
    ASSERT_FALSE(words) << text;
    EXPECT_EQ(words.error().kind(), ErrorKind::invalid);
  }
}

}  // namespace
}  // namespace cloister::kms
