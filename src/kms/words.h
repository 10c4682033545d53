// Splits one text into words as a POSIX shell does: blanks separate, '…' and "…" keep them, a backslash keeps
// the next character. No variables, globs or substitutions: what would need a shell stands for itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::kms {

// invalid: an open quote, or a backslash at the end.
Result<std::vector<std::string>> split_words(std::string_view text);

}  // namespace cloister::kms
