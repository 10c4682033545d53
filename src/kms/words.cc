#include "kms/words.h"

namespace cloister::kms {

namespace {

constexpr std::string_view kBlanks = " \t\n";
// Inside double quotes a backslash is special before these only (POSIX Shell Command Language, 2.2.3).
constexpr std::string_view kEscapedInQuotes = "$`\"\\";

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote ==
        '\'') {  // NOLINT(bugprone-branch-clone): what ends a quote is the same, what stands in one is not
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\\') {
      if (++i == text.size()) return fail(ErrorKind::invalid, "a backslash at the end");
      if (quote != 0 && kEscapedInQuotes.find(text[i]) == std::string_view::npos) word += c;
      word += text[i];
      in_word = true;
    } else if (quote == '"') {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (kBlanks.find(c) != std::string_view::npos) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return fail(ErrorKind::invalid, "a {} that is never closed", quote);
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace cloister::kms
