// The plaintext of a diagnostic bundle, which its owner opens. What is taken has one encoding.
#include <algorithm>
#include <cstdlib>

#include "package/diagnostics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cloister::ByteView input(data, size);
  auto bundle = cloister::package::Diagnostics::parse(input);
  if (bundle && !std::ranges::equal(bundle->encode(), input)) std::abort();
  return 0;
}
