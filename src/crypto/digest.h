// Hashes, HMAC, HKDF and random bytes.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace cloister::crypto {

enum class Hash { sha256, sha384, sha512 };
std::size_t digest_size(Hash hash);

using Sha256 = ByteArray<32>;
using Sha384 = ByteArray<48>;
Sha256 sha256(ByteView data);
Sha384 sha384(ByteView data);

// A digest over parts that arrive one after another.
class Hasher {
 public:
  explicit Hasher(Hash hash);
  Hasher(Hasher&&) noexcept;
  ~Hasher();
  void update(ByteView data);
  Bytes finish();  // once

 private:
  void* context_;
};
// SHA-2 of everything a descriptor gives from its current position on.
Result<Bytes> digest_file(Hash hash, int fd);

Bytes hmac(Hash hash, ByteView key, ByteView data);
// RFC 5869. length: at most 255 * digest size.
Secret hkdf(Hash hash, ByteView key, ByteView salt, ByteView info, std::size_t length);

// From the operating system's generator (getrandom through OpenSSL); aborts the process if there is none.
void fill_random(MutableByteView out);
Bytes random_bytes(std::size_t size);
Secret random_secret(std::size_t size);

}  // namespace cloister::crypto
