// PCR = SHA-384(48 zero bytes ‖ SHA-384(content)): a register that was zero, extended once.
#include "image/eif.h"
#include "image/eif_signature.h"

namespace cloister::image {

namespace {

using crypto::Hash;
using crypto::Hasher;

attestation::Pcr extended(ByteView content_digest) {
  Hasher hasher(Hash::sha384);
  hasher.update(Bytes(attestation::kPcrSize));
  hasher.update(content_digest);
  return hasher.finish();
}

// One section through two registers.
Status measure(const Eif& image, const EifSection& section, Hasher& one, Hasher& other) {
  return image.stream(section, [&](ByteView bytes) -> Status {
    one.update(bytes);
    other.update(bytes);
    return {};
  });
}

struct Contents {
  Bytes whole;
  Bytes bootstrap;
  Bytes application;
};

Result<Contents> digest(const Eif& image) {
  Hasher whole(Hash::sha384);
  Hasher bootstrap(Hash::sha384);
  Hasher application(Hash::sha384);
  TRY(measure(image, image.kernel(), whole, bootstrap));
  TRY(measure(image, image.command_line_section(), whole, bootstrap));
  bool first = true;
  for (const auto& ramdisk : image.ramdisks()) {
    TRY(measure(image, ramdisk, whole, first ? bootstrap : application));
    first = false;
  }
  return Contents{whole.finish(), bootstrap.finish(), application.finish()};
}

}  // namespace

Result<attestation::Pcr> measure_pcr0(const Eif& image) {
  return extended(TRY(digest(image)).whole);
}

Result<attestation::Measurements> measure_eif(const Eif& image) {
  auto contents = TRY(digest(image));
  attestation::Measurements out;
  out.pcrs[0] = extended(contents.whole);
  out.pcrs[1] = extended(contents.bootstrap);
  out.pcrs[2] = extended(contents.application);
  auto signature = TRY(read_signature(image));
  if (signature) out.pcrs[8] = extended(crypto::sha384(signature->certificate.der()));
  return out;
}

}  // namespace cloister::image
