// EnvelopedData from the host, as the keeper parses it.
#include <cstdint>
#include <cstdlib>

#include "crypto/cms.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto parsed = cloister::crypto::EnvelopedData::parse({data, size});
  if (!parsed) return 0;
  std::size_t carried = parsed->recipient_key_id.size() + parsed->encrypted_key.size() + parsed->iv.size() +
                        parsed->encrypted_content.size();
  bool sound = carried < size && parsed->iv.size() == 16 && parsed->encrypted_key.size() >= 256 &&
               !parsed->encrypted_content.empty() && parsed->encrypted_content.size() % 16 == 0;
  if (!sound) std::abort();
  return 0;
}
