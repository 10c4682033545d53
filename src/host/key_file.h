// Private keys of a person, one PEM file each (PKCS#8, mode 0600), made on first use.
#pragma once

#include <string>

#include "crypto/keys.h"

namespace cloister::host {

inline constexpr std::size_t kMaxKeyFile = 16 * 1024;  // bytes

// not_found: no such file. invalid: a key of another type.
Result<crypto::PrivateKey> load_key(const std::string& path, crypto::KeyType type);

struct KeyFile {
  crypto::PrivateKey key;
  bool made = false;  // just now
};
// Two processes that make one at the same time end up with the same key.
Result<KeyFile> load_or_create_key(const std::string& path, crypto::KeyType type);

}  // namespace cloister::host
