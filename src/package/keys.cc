#include "package/keys.h"

#include <algorithm>

#include "crypto/aead.h"

namespace cloister::package {

namespace {

constexpr std::size_t kSaltSize = 32;  // bytes; Tink: as long as the derived key

Status check_size(const Secret& data_key) {
  if (data_key.size() == kDataKeySize) return {};
  return fail(ErrorKind::invalid, "a data key of {} bytes (must be {})", data_key.size(), kDataKeySize);
}

}  // namespace

Result<Sha256> commit_to(const Secret& data_key) {
  TRY(check_size(data_key));
  Sha256 out{};
  auto derived = crypto::hkdf(crypto::Hash::sha256, data_key.view(), {}, as_bytes(kCommitInfo), out.size());
  std::ranges::copy(derived.view(), out.begin());
  return out;
}

Status check_commitment(const Secret& data_key, const Header& header) {
  auto commitment = TRY(commit_to(data_key));
  if (equal_constant_time(commitment, header.commitment)) return {};
  return fail(ErrorKind::corrupt, "the data key is not the one that the package's signer committed to");
}

Result<StreamKey> derive_stream_key(const Secret& data_key, ByteView associated_data,
                                    ByteView stream_header) {
  TRY(check_size(data_key));
  Reader reader(stream_header);
  if (stream_header.size() != kStreamHeaderSize || TRY(reader.u8()) != kStreamHeaderSize) {
    return fail(ErrorKind::corrupt, "package content: not a stream header of {} bytes", kStreamHeaderSize);
  }
  auto salt = TRY(reader.bytes(kSaltSize));
  auto prefix = TRY(reader.bytes(kNoncePrefixSize));
  StreamKey out;
  out.key = crypto::hkdf(crypto::Hash::sha256, data_key.view(), salt, associated_data, crypto::kGcmKeySize);
  std::ranges::copy(prefix, out.nonce_prefix.begin());
  return out;
}

ByteArray<kStreamHeaderSize> make_stream_header() {
  ByteArray<kStreamHeaderSize> out{};
  out[0] = kStreamHeaderSize;
  crypto::fill_random(MutableByteView(out).subspan(1));
  return out;
}

}  // namespace cloister::package
