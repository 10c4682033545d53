// Both parts of a manifest. What is taken has one encoding and passes its own check.
#include <algorithm>
#include <cstdlib>

#include "package/manifest.h"

using namespace cloister;

namespace {

template <class Part>
void check(ByteView input) {
  auto part = Part::parse(input);
  if (!part) return;
  if (!std::ranges::equal(part->encode(), input)) std::abort();
  if (!part->check()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check<package::Manifest>({data, size});
  check<package::PublicManifest>({data, size});
  return 0;
}
