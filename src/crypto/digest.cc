#include "crypto/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "crypto/handles.h"
#include "crypto/hmac.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kFileChunk = 128 * 1024;  // bytes

EVP_MD_CTX* md_context(void* context) {
  return static_cast<EVP_MD_CTX*>(context);
}

void digest_into(Hash hash, ByteView data, MutableByteView out) {
  unsigned size = 0;
  bool ok = EVP_Digest(data.data(), data.size(), out.data(), &size, md_of(hash), nullptr) == 1;
  require(ok && size == out.size(), "digest failed");
}

}  // namespace

const EVP_MD* md_of(Hash hash) {
  switch (hash) {
    case Hash::sha256:
      return EVP_sha256();
    case Hash::sha384:
      return EVP_sha384();
    case Hash::sha512:
      return EVP_sha512();
  }
  require(false, "unknown hash");
  return nullptr;
}

std::size_t digest_size(Hash hash) {
  return static_cast<std::size_t>(EVP_MD_get_size(md_of(hash)));
}

Sha256 sha256(ByteView data) {
  Sha256 out;
  digest_into(Hash::sha256, data, out);
  return out;
}

Sha384 sha384(ByteView data) {
  Sha384 out;
  digest_into(Hash::sha384, data, out);
  return out;
}

Hasher::Hasher(Hash hash) : context_(EVP_MD_CTX_new()) {
  require(context_ != nullptr && EVP_DigestInit_ex(md_context(context_), md_of(hash), nullptr) == 1,
          "digest failed");
}

Hasher::Hasher(Hasher&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

Hasher::~Hasher() {
  EVP_MD_CTX_free(md_context(context_));
}

void Hasher::update(ByteView data) {
  require(context_ != nullptr && EVP_DigestUpdate(md_context(context_), data.data(), data.size()) == 1,
          "digest failed");
}

Bytes Hasher::finish() {
  Handle<EVP_MD_CTX> context(md_context(std::exchange(context_, nullptr)));
  Bytes out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  require(context && EVP_DigestFinal_ex(context.get(), out.data(), &size) == 1, "digest finished twice");
  out.resize(size);
  return out;
}

Result<Bytes> digest_file(Hash hash, int fd) {
  Hasher hasher(hash);
  Bytes buffer(kFileChunk);
  for (;;) {
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read for digest");
    if (n == 0) return hasher.finish();
    hasher.update(ByteView(buffer).first(static_cast<std::size_t>(n)));
  }
}

namespace {

// Keeps the method that it was made of.
Handle<EVP_MAC_CTX> new_mac(Hash hash, ByteView key) {
  Handle<EVP_MAC> method(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  require(method != nullptr, "no HMAC");
  Handle<EVP_MAC_CTX> context(EVP_MAC_CTX_new(method.get()));
  OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
                             OSSL_MAC_PARAM_DIGEST, const_cast<char*>(EVP_MD_get0_name(md_of(hash))), 0),
                         OSSL_PARAM_construct_end()};
  // A null key would mean "the one of before": the empty key needs an address too.
  static constexpr std::uint8_t kEmpty = 0;
  require(context && EVP_MAC_init(context.get(), key.empty() ? &kEmpty : key.data(), key.size(), params) == 1,
          "HMAC failed");
  return context;
}

// HMAC under one key over many messages, each in parts.
class Mac {
 public:
  Mac(Hash hash, ByteView key) : context_(new_mac(hash, key)) {}

  void compute(std::initializer_list<ByteView> parts, MutableByteView out) {
    std::size_t size = 0;
    bool ok = true;
    if (std::exchange(used_, true)) ok = EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1;
    for (auto part : parts) ok = ok && EVP_MAC_update(context_.get(), part.data(), part.size()) == 1;
    ok = ok && EVP_MAC_final(context_.get(), out.data(), &size, out.size()) == 1;
    require(ok && size == out.size(), "HMAC failed");
  }

 private:
  Handle<EVP_MAC_CTX> context_;
  bool used_ = false;
};

}  // namespace

Bytes hmac(Hash hash, ByteView key, ByteView data) {
  Bytes out(digest_size(hash));
  Mac(hash, key).compute({data}, out);
  return out;
}

Hmac::Hmac(Hash hash, ByteView key) : context_(new_mac(hash, key).release()), size_(digest_size(hash)) {}

Hmac::~Hmac() {
  EVP_MAC_CTX_free(static_cast<EVP_MAC_CTX*>(context_));
}

void Hmac::update(ByteView data) {
  require(context_ != nullptr &&
              EVP_MAC_update(static_cast<EVP_MAC_CTX*>(context_), data.data(), data.size()) == 1,
          "HMAC failed");
}

Bytes Hmac::finish() {
  Handle<EVP_MAC_CTX> context(static_cast<EVP_MAC_CTX*>(std::exchange(context_, nullptr)));
  Bytes out(size_);
  std::size_t size = 0;
  require(context && EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1 && size == out.size(),
          "HMAC finished twice");
  return out;
}

// Written over HMAC because OpenSSL's HKDF refuses empty keys and bounds the length of info.
Secret hkdf(Hash hash, ByteView key, ByteView salt, ByteView info, std::size_t length) {
  const std::size_t block_size = digest_size(hash);
  require(length <= 255 * block_size, "HKDF output too long");
  Secret pseudorandom(block_size);
  Mac(hash, salt).compute({key}, pseudorandom.mutable_view());

  Mac expand(hash, pseudorandom.view());
  Secret out(length);
  Secret block(block_size);
  ByteView previous;
  std::uint8_t counter = 0;
  for (auto rest = out.mutable_view(); !rest.empty();) {
    ++counter;
    expand.compute({previous, info, ByteView(&counter, 1)}, block.mutable_view());
    previous = block.view();
    auto part = previous.first(std::min(block_size, rest.size()));
    std::copy(part.begin(), part.end(), rest.begin());
    rest = rest.subspan(part.size());
  }
  return out;
}

void fill_random(MutableByteView out) {
  constexpr std::size_t kMost = 1 << 30;  // bytes; OpenSSL counts in int
  while (!out.empty()) {
    auto part = out.first(std::min(out.size(), kMost));
    require(RAND_priv_bytes(part.data(), static_cast<int>(part.size())) == 1, "no random bytes");
    out = out.subspan(part.size());
  }
}

Bytes random_bytes(std::size_t size) {
  Bytes out(size);
  fill_random(out);
  return out;
}

Secret random_secret(std::size_t size) {
  Secret out(size);
  fill_random(out.mutable_view());
  return out;
}

}  // namespace cloister::crypto
