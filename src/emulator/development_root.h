// DevelopmentRoot: the certificate authority above emulated Nitro Secure Modules. It takes the place of the
// AWS root on machines without Nitro; nothing trusts it but what was told to.
#pragma once

#include <string>

#include "crypto/keys.h"
#include "crypto/x509.h"
#include "sys/clock.h"

namespace cloister::emulator {

inline constexpr std::string_view kDevelopmentRootName = "Cloister development root, not AWS";

struct DevelopmentRoot {
  crypto::PrivateKey key;  // P-384
  crypto::Certificate certificate;

  static Result<DevelopmentRoot> generate(sys::UnixMillis now);

  // root-key.pem (0600) and root.pem in `directory`, which is made (0700) where it is missing. The first
  // caller makes the pair, under a lock: processes that race all get the same root. corrupt: the two do not
  // belong together. denied: others may read the key.
  static Result<DevelopmentRoot> load_or_create(const std::string& directory, sys::UnixMillis now);
};

}  // namespace cloister::emulator
