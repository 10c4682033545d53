// COSE_Sign1 (RFC 9052 section 4.2): one signature over protected headers and a payload.
#pragma once

#include "base/bytes.h"

namespace cloister::codec {

inline constexpr std::uint64_t kCoseSign1Tag = 18;
inline constexpr std::int64_t kCoseAlgorithmHeader = 1;  // RFC 9052 table 3
inline constexpr std::int64_t kCoseEs256 = -7;           // RFC 9053 table 1: ECDSA with SHA-256
inline constexpr std::int64_t kCoseEs384 = -35;          // the same: ECDSA with SHA-384
inline constexpr std::int64_t kCoseEs512 = -36;          // the same: ECDSA with SHA-512
inline constexpr std::size_t kMaxCoseProtected = 64;     // bytes
inline constexpr std::size_t kMaxCoseSignature = 512;    // bytes

struct CoseSign1 {
  Bytes protected_headers;  // encoded map, as signed
  Bytes payload;
  Bytes signature;

  // Tag 18 or none, definite and indefinite lengths. corrupt: unprotected headers that are not empty, a
  // detached payload, trailing bytes, anything else malformed; max_payload in bytes. The signature is not
  // checked here.
  static Result<CoseSign1> parse(ByteView cbor, std::size_t max_payload);
  Bytes encode() const;  // untagged

  // The algorithm, which must be the only protected header.
  Result<std::int64_t> algorithm() const;
  // What the signature covers: Sig_structure of RFC 9052 section 4.4 with empty external_aad.
  Bytes signed_bytes() const;
};

// {1: algorithm}
Bytes encode_cose_algorithm(std::int64_t algorithm);

}  // namespace cloister::codec
