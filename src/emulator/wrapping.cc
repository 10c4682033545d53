#include "emulator/wrapping.h"

#include "crypto/aead.h"
#include "crypto/digest.h"

namespace cloister::emulator {

using crypto::kGcmNonceSize;
using crypto::kGcmTagSize;

Bytes wrap_secret(const Secret& master, std::string_view name, const Secret& plain) {
  Bytes out = crypto::random_bytes(kGcmNonceSize);
  out.resize(kGcmNonceSize + plain.size() + kGcmTagSize);
  MutableByteView view(out);
  crypto::AesGcm(master).seal(view.first(kGcmNonceSize), as_bytes(name), plain.view(),
                              view.subspan(kGcmNonceSize));
  return out;
}

Result<Secret> unwrap_secret(const Secret& master, std::string_view name, ByteView wrapped) {
  if (wrapped.size() < kGcmNonceSize + kGcmTagSize)
    return fail(ErrorKind::corrupt, "a wrapped secret is too short");
  Secret out(wrapped.size() - kGcmNonceSize - kGcmTagSize);
  TRY(crypto::AesGcm(master)
          .open(wrapped.first(kGcmNonceSize), as_bytes(name), wrapped.subspan(kGcmNonceSize),
                out.mutable_view())
          .context("unwrap a secret"));
  return out;
}

}  // namespace cloister::emulator
