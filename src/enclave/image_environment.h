// The variables that an image gives to its jobs, from a file in its measured first ramdisk.
#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace cloister::enclave {

inline constexpr const char* kEnvironmentFile = "/etc/cloister/environment";
inline constexpr std::size_t kMaxEnvironmentFile = 64 * 1024;  // bytes

using ImageEnvironment = std::map<std::string, std::string>;

// Lines NAME=VALUE, each with its end. invalid: anything else. Without the file there are no variables.
Result<ImageEnvironment> load_image_environment(const std::string& path);
Result<ImageEnvironment> parse_image_environment(std::string_view text);

}  // namespace cloister::enclave
