// RSAES-OAEP, the private side: for CMS in this room only, since a caller of the bare operation would be an
// oracle.
#pragma once

#include "crypto/keys.h"

namespace cloister::crypto {

// SHA-256 for both hash and MGF1, empty label (RFC 8017). Every failure is `corrupt` and says the same.
Result<Secret> oaep_decrypt(const PrivateKey& rsa, ByteView ciphertext);

}  // namespace cloister::crypto
