// cloister.yaml → Manifest. On the owner's machine only: the enclave reads the compiled CBOR
// (docs/manifest.md describes the YAML).
#pragma once

#include <optional>
#include <string>

#include "package/manifest.h"

namespace cloister::host {

inline constexpr const char* kManifestFile = "cloister.yaml";
inline constexpr std::size_t kMaxManifestYaml = 256 * 1024;  // bytes

// invalid: not YAML, an unknown key, a value of another shape or out of bounds; the message names the key.
Result<package::Manifest> manifest_from_yaml(const std::string& text);
// The manifest at the root of an application's directory, if there is one.
Result<std::optional<package::Manifest>> load_manifest_yaml(const std::string& directory);

// "512MiB", "2GiB" → MiB; "90s", "10min", "2h" → seconds. invalid: anything else, and zero.
Result<std::uint32_t> parse_memory(const std::string& text);
Result<std::uint32_t> parse_duration(const std::string& text);

}  // namespace cloister::host
