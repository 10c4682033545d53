// The metadata section of an enclave image: what it says of itself. Nothing measures or signs it. Shape: the
// JSON schema of the crate aws-nitro-enclaves-image-format, whose reader wants CustomMetadata as well.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::image {

struct EifMetadata {
  std::string image_name;
  std::string image_version;
  std::string build_time;  // RFC 3339; part of the image's bytes, not of its measurement
  std::string build_tool;
  std::string build_tool_version;
  std::string operating_system;
  std::string kernel_version;
  std::string docker_info = "{}";  // JSON object
  std::string custom = "{}";       // JSON object

  // invalid: not JSON, a member missing or of another type. Members that it does not know are passed over.
  static Result<EifMetadata> parse(std::string_view json);
  // One line; members always in the same order.
  std::string to_json() const;
};

}  // namespace cloister::image
