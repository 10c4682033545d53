// Secrets at rest: nonce ‖ AES-256-GCM ciphertext ‖ tag under the master key, with the name of what it is as
// associated data.
#pragma once

#include <string_view>

#include "base/secret.h"

namespace cloister::emulator {

Bytes wrap_secret(const Secret& master, std::string_view name, const Secret& plain);
// corrupt: another master key or name, or changed bytes.
Result<Secret> unwrap_secret(const Secret& master, std::string_view name, ByteView wrapped);

}  // namespace cloister::emulator
