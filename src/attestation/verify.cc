#include <algorithm>

#include "attestation/document.h"

namespace cloister::attestation {

namespace {

// The bundle is what the document claims; the root is what we trust. Everything between them must be used.
Result<std::vector<crypto::Certificate>> intermediates_of(const Document& document,
                                                          const crypto::Certificate& root) {
  if (!std::ranges::equal(document.cabundle.front(), root.der())) {
    return fail(ErrorKind::denied, "the certificate chain does not begin at the trusted root");
  }
  std::vector<crypto::Certificate> intermediates;
  for (std::size_t i = 1; i < document.cabundle.size(); ++i) {
    intermediates.push_back(TRY(crypto::Certificate::from_der(document.cabundle[i])));
  }
  return intermediates;
}

// One P-384 verification for the document, which comes first as the cheapest refusal, and one per
// certificate.
Status verify_parsed(const SignedDocument& message, const crypto::Certificate& root, sys::UnixMillis at) {
  auto intermediates = TRY(intermediates_of(message.document, root));
  auto leaf = TRY(crypto::Certificate::from_der(message.document.certificate));
  auto key = TRY(leaf.public_key());
  if (key.type() != crypto::KeyType::p384) return fail(ErrorKind::denied, "the signing key is not P-384");
  TRY(key.verify(message.signed_bytes, message.signature));
  return crypto::verify_chain(leaf, intermediates, root, at);
}

}  // namespace

Result<Document> verify(ByteView cbor, const crypto::Certificate& root, sys::UnixMillis at) {
  auto message = TRY(SignedDocument::parse(cbor));
  auto verified = verify_parsed(message, root, at);
  if (!verified.has_value()) {
    return fail(ErrorKind::denied, "attestation document: {}", verified.error().message());
  }
  return std::move(message.document);
}

}  // namespace cloister::attestation
