// The bytes before a package's content, from a hostile host. What is taken has one encoding, and its promises
// hold.
#include <cstdlib>

#include "package/start.h"

using namespace cloister;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input(data, size);
  auto header = package::parse_prefix(input);
  if (!header) return 0;
  auto again = package::encode_prefix(*header);
  if (!std::equal(again.begin(), again.end(), input.begin(), input.end())) std::abort();
  if (!header->check()) std::abort();
  for (const auto& [key, value] : header->extra_context) {
    if (key.starts_with(package::kContextPrefix)) std::abort();
  }
  if (header->verify_signature() && header->identity().name != header->name) std::abort();
  return 0;
}
