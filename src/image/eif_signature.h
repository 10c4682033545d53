// The signature section of an enclave image: who vouches for its PCR0. PCR8 is the certificate's measurement,
// so that a key's policy can name a signer instead of each image. docs/formats/eif.md.
#pragma once

#include <optional>

#include "codec/cose.h"
#include "crypto/x509.h"
#include "image/eif.h"
#include "sys/clock.h"

namespace cloister::image {

struct EifSignature {
  crypto::Certificate certificate;
  codec::CoseSign1 statement;  // that PCR0 has a certain value
};

// corrupt: not exactly one pair of a certificate and a COSE_Sign1. Nothing is verified yet.
Result<EifSignature> parse_signature(ByteView section);
Bytes encode_signature(const EifSignature& signature);

// nullopt: the image is not signed.
Result<std::optional<EifSignature>> read_signature(const Eif& image);

// That the certificate's key signed this very PCR0. Says nothing of the certificate: whoever made it may have
// made it up. What to trust is the certificate's measurement, PCR8. denied.
Status verify_signature(const EifSignature& signature, const attestation::Pcr& pcr0);
// denied: not yet valid, or no longer.
Status check_validity(const crypto::Certificate& certificate, sys::UnixMillis at);

struct Signer {
  crypto::PrivateKey key;  // ECDSA: P-256, P-384, P-521
  crypto::Certificate certificate;
};

// Writes `image` with a signature to `path`, which may be its own. invalid: another key than the
// certificate's, or one of a wrong type; denied: the certificate is not valid now, or the image is signed and
// `replace` false.
Status sign_eif(const Eif& image, const std::string& path, const Signer& signer, bool replace,
                sys::UnixMillis now);

}  // namespace cloister::image
