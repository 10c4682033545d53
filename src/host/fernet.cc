#include "host/fernet.h"

#include <algorithm>
#include <optional>

#include "codec/base64.h"
#include "crypto/cbc.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"
#include "sys/read_at.h"

namespace cloister::host {

namespace {

constexpr std::uint8_t kVersion = 0x80;
constexpr std::size_t kIvAt = 1 + 8;  // after version and timestamp
constexpr std::size_t kHead = kIvAt + crypto::kAesBlock;
constexpr std::size_t kTag = 32;            // bytes of HMAC-SHA256
constexpr std::size_t kPiece = 256 * 1024;  // characters read at a time; whole groups of four
constexpr std::size_t kHalfKey = kFernetKeySize / 2;
static_assert(kPiece % 4 == 0 && kPiece / 4 * 3 > kHead + kTag);

std::unexpected<Error> changed() {
  return fail(ErrorKind::corrupt, "Fernet token: changed, cut, or not encrypted with this data key");
}

// CBC with PKCS#7 padding. The last block waits for finish(), which is called once the HMAC is known to be
// right.
class Decryption {
 public:
  Decryption(const Secret& key, ByteView iv, const package::Sink& sink) : cbc_(key, iv), sink_(sink) {}
  ~Decryption() { wipe(plaintext_); }
  Decryption(const Decryption&) = delete;
  Decryption& operator=(const Decryption&) = delete;

  Status write(ByteView ciphertext) {
    append(held_, ciphertext);
    if (held_.size() <= crypto::kAesBlock) return {};
    auto whole = (held_.size() - 1) / crypto::kAesBlock * crypto::kAesBlock;
    TRY(sink_(decrypt(whole)));
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(whole));
    return {};
  }

  Status finish() {
    auto block = decrypt(crypto::kAesBlock);
    auto padding = block.back();
    if (padding == 0 || padding > block.size() ||
        !std::ranges::all_of(block.last(padding), [&](auto byte) { return byte == padding; }))
      return fail(ErrorKind::corrupt, "Fernet token: wrong padding");
    return sink_(block.first(block.size() - padding));
  }

 private:
  ByteView decrypt(std::size_t size) {
    plaintext_.resize(size);
    cbc_.decrypt(ByteView(held_).first(size), plaintext_);
    return plaintext_;
  }

  crypto::AesCbcDecryption cbc_;
  const package::Sink& sink_;
  Bytes held_;  // ciphertext; after the first write() never less than a part of a block
  Bytes plaintext_;
};

}  // namespace

// One reading: the HMAC over all but the tag, and the plaintext where it is wanted.
class FernetToken::Pass {
 public:
  Pass(const Secret& key, std::uint64_t decoded, const package::Sink* plaintext)
      : mac_(crypto::Hash::sha256, key.view().first(kHalfKey)),
        encryption_key_(key.view().last(kHalfKey)),
        signed_left_(decoded - kTag),
        plaintext_(plaintext) {}

  // The decoded token, in pieces; the first holds the head at least.
  Status write(ByteView bytes) {
    auto authentic =
        bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(signed_left_, bytes.size())));
    append(tag_, bytes.subspan(authentic.size()));
    signed_left_ -= authentic.size();
    mac_.update(authentic);
    if (plaintext_ == nullptr) return {};
    if (!decryption_) {
      decryption_.emplace(encryption_key_, authentic.subspan(kIvAt, crypto::kAesBlock), *plaintext_);
      authentic = authentic.subspan(kHead);
    }
    return decryption_->write(authentic);
  }

  Status finish() {
    if (signed_left_ != 0 || !equal_constant_time(mac_.finish(), tag_)) return changed();
    return decryption_ ? decryption_->finish() : Status{};
  }

 private:
  crypto::Hmac mac_;
  Secret encryption_key_;
  std::uint64_t signed_left_;
  const package::Sink* plaintext_;
  std::optional<Decryption> decryption_;
  Bytes tag_;
};

Result<FernetToken> FernetToken::open(int fd, std::uint64_t offset, std::uint64_t size) {
  FernetToken token(fd, offset, size);
  TRY(token.check_shape());
  return token;
}

Status FernetToken::check_shape() {
  if (size_ > kMaxFernetToken)
    return fail(ErrorKind::exhausted, "Fernet token: larger than {} bytes", kMaxFernetToken);
  if (size_ % 4 != 0 || size_ == 0) return fail(ErrorKind::corrupt, "Fernet token: cut, or not base64");
  ByteArray<2> end{};
  TRY(sys::read_at(fd_, offset_ + size_ - end.size(), end, "Fernet token"));
  decoded_ = size_ / 4 * 3 - static_cast<std::uint64_t>(std::ranges::count(end, '='));
  auto first = TRY(piece(0));
  if (first.front() != kVersion)
    return fail(ErrorKind::corrupt, "Fernet token: version {:#04x}, not 0x80", first.front());
  if (decoded_ < kHead + crypto::kAesBlock + kTag || (decoded_ - kHead - kTag) % crypto::kAesBlock != 0)
    return fail(ErrorKind::corrupt, "Fernet token: {} bytes, which no token has", decoded_);
  return {};
}

// Decodes the text from `at` on, a multiple of four.
Result<Bytes> FernetToken::piece(std::uint64_t at) const {
  Bytes text(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size_ - at)));
  TRY(sys::read_at(fd_, offset_ + at, text, "Fernet token"));
  bool last = at + text.size() == size_;
  auto bytes = codec::from_base64url(as_text(text));
  if (!bytes || (!last && text.back() == '='))
    return fail(ErrorKind::corrupt, "Fernet token: not base64 for URLs");
  return std::move(*bytes);
}

Status FernetToken::read(Pass& pass) const {
  for (std::uint64_t at = 0; at < size_; at += kPiece) TRY(pass.write(TRY(piece(at))));
  return pass.finish();
}

Status FernetToken::decrypt(const Secret& key, const package::Sink& plaintext) const {
  if (key.size() != kFernetKeySize)
    return fail(ErrorKind::corrupt, "Fernet key: {} bytes, not {}", key.size(), kFernetKeySize);
  Pass verify(key, decoded_, nullptr);
  TRY(read(verify));
  Pass decrypt(key, decoded_, &plaintext);
  return read(decrypt);
}

}  // namespace cloister::host
