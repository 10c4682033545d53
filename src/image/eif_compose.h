// Writing an image out of sections that are elsewhere: what write_eif and sign_eif have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "image/eif_format.h"

namespace cloister::image {

// A section's bytes-to-be.
struct SectionSource {
  using Take = std::function<Status(ByteView)>;
  SectionType type = SectionType::kernel;
  std::uint64_t size = 0;                      // bytes
  std::function<Status(const Take&)> produce;  // gives exactly `size` bytes, some at a time
};

SectionSource source_of(SectionType type, ByteView bytes);  // which must outlive it

// Architecture and defaults are those of `header`, its sections and CRC are made. The file appears whole,
// under its name, or not at all. invalid: the sections make no image.
Status compose_eif(const std::string& path, EifHeader header, const std::vector<SectionSource>& sources);

}  // namespace cloister::image
