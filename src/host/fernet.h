// Fernet tokens (https://github.com/fernet/spec, version 0x80), of which the old sample's packages consist.
// Read only, on the owner's machine only: no program that runs in an enclave links this room.
#pragma once

#include "base/secret.h"
#include "package/sink.h"

namespace cloister::host {

inline constexpr std::size_t kFernetKeySize = 32;  // bytes: 16 that sign, 16 that encrypt
inline constexpr std::uint64_t kMaxFernetToken = std::uint64_t{6} << 30;  // bytes of base64url

// A token that takes up a part of a file. Read piece by piece: memory is constant. Not thread-safe.
class FernetToken {
 public:
  // `size` bytes of base64url text from `offset` on; the descriptor is the caller's and outlives the token.
  // corrupt: it cannot be a token; nothing has been verified yet.
  static Result<FernetToken> open(int fd, std::uint64_t offset, std::uint64_t size);

  // Reads it twice. The first time the HMAC of all of it is compared, and nothing is decrypted. The second
  // time it is decrypted, and compared again: the file could have changed in between. What the sink was given
  // counts only if this succeeds. Of the timestamp nothing is asked: a package does not expire. corrupt:
  // changed, or of another key.
  Status decrypt(const Secret& key, const package::Sink& plaintext) const;

 private:
  class Pass;
  FernetToken(int fd, std::uint64_t offset, std::uint64_t size) : fd_(fd), offset_(offset), size_(size) {}
  Status check_shape();
  Result<Bytes> piece(std::uint64_t at) const;
  Status read(Pass& pass) const;

  int fd_;
  std::uint64_t offset_;
  std::uint64_t size_;         // of the text
  std::uint64_t decoded_ = 0;  // bytes that the text stands for
};

}  // namespace cloister::host
