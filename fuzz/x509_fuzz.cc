// Certificates of attestation documents and TLS peers.
#include <cstdint>
#include <cstdlib>

#include "crypto/x509.h"

using cloister::crypto::Certificate;
using cloister::crypto::PublicKey;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto certificate = Certificate::from_der({data, size});
  if (!certificate) return 0;
  cloister::Bytes der = certificate->der();
  if (der != cloister::Bytes(data, data + size)) std::abort();  // one certificate, one encoding
  (void)certificate->subject();
  (void)certificate->not_before();
  (void)certificate->not_after();
  auto key = certificate->public_key();
  if (key && !PublicKey::from_spki(key->spki())) std::abort();
  // Itself as leaf, intermediate and root: every check of a chain, whatever the certificate says.
  (void)cloister::crypto::verify_chain(*certificate, {}, *certificate, certificate->not_before());
  (void)cloister::crypto::verify_chain(*certificate, {*certificate}, *certificate, certificate->not_before());
  return 0;
}
