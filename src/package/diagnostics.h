// Diagnostic bundles (docs/formats/diagnostics.md): the end of an application's stderr, sealed to its owner.
#pragma once

#include <cstdint>
#include <string>

#include "crypto/keys.h"
#include "package/header.h"

namespace cloister::package {

inline constexpr std::size_t kMaxDiagnosticStderr = 64 * 1024;   // bytes
inline constexpr std::size_t kMaxDiagnosticText = 1024;          // bytes
inline constexpr std::size_t kMaxDiagnosticBundle = 128 * 1024;  // bytes, sealed

struct Diagnostics {
  std::string name;
  std::string release;
  crypto::Sha256 signer{};
  std::string entry;
  std::string end;            // "exited 1", "signal 9", or Cloister's error
  Bytes standard_error;       // the last kMaxDiagnosticStderr bytes
  std::uint64_t dropped = 0;  // bytes before those
  bool operator==(const Diagnostics&) const = default;

  // owner: the X25519 key of the manifest's owner_key, raw. Texts that are too long are cut.
  Result<Bytes> seal(ByteView owner) const;
  // corrupt: not a bundle, or not for this key.
  static Result<Diagnostics> open(const crypto::PrivateKey& owner, ByteView bundle);

  Bytes encode() const;
  static Result<Diagnostics> parse(ByteView cbor);
};

}  // namespace cloister::package
