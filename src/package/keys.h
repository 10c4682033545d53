// From the data key to the stream's key. Only the process that holds data keys calls this; it hands out
// StreamKeys, each good for one content only.
#pragma once

#include "base/secret.h"
#include "package/header.h"
#include "package/start.h"

namespace cloister::package {

inline constexpr std::size_t kDataKeySize = 32;     // bytes
inline constexpr std::size_t kNoncePrefixSize = 7;  // bytes
inline constexpr std::string_view kCommitInfo = "cloister/commit/v1";

// HKDF-SHA256(data key, no salt, kCommitInfo), 32 bytes. invalid: the key is not kDataKeySize long.
Result<Sha256> commit_to(const Secret& data_key);
// Constant time. corrupt: this is not the key that the header's signer meant.
Status check_commitment(const Secret& data_key, const Header& header);

struct StreamKey {
  Secret key;  // AES-256-GCM
  ByteArray<kNoncePrefixSize> nonce_prefix{};
};

// HKDF-SHA256(data key, salt of the stream header, info = associated data), as Tink's AES256_GCM_HKDF_1MB
// does. corrupt: the stream header is not of that kind; invalid: the key has another size.
Result<StreamKey> derive_stream_key(const Secret& data_key, ByteView associated_data, ByteView stream_header);

// A stream header with a fresh random salt and nonce prefix.
ByteArray<kStreamHeaderSize> make_stream_header();

}  // namespace cloister::package
