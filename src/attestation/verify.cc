#include <algorithm>

#include "attestation/document.h"

namespace cloister::attestation {

namespace {

// n of P-384 (FIPS 186-5, SP 800-186 section 3.2.1.4), big-endian.
constexpr ByteArray<48> kOrder{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                               0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                               0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
                               0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73};

// 0 < r < n and 0 < s < n. OpenSSL refuses others too; a verifier that once did not is a famous one.
Status check_range(ByteView signature) {
  for (auto scalar : {signature.first(kOrder.size()), signature.last(kOrder.size())}) {
    if (all_zero(scalar) || !std::ranges::lexicographical_compare(scalar, kOrder))
      return fail(ErrorKind::denied, "the signature's r or s is out of range");
  }
  return {};
}

// The bundle is what the document claims; the root is what we trust. Everything between them must be used.
Result<std::vector<crypto::Certificate>> intermediates_of(const Document& document,
                                                          const crypto::Certificate& root) {
  if (!std::ranges::equal(document.cabundle.front(), root.der())) {
    return fail(ErrorKind::denied, "the certificate chain does not begin at the trusted root");
  }
  std::vector<crypto::Certificate> intermediates;
  for (std::size_t i = 1; i < document.cabundle.size(); ++i) {
    intermediates.push_back(
        TRY(crypto::Certificate::from_der(document.cabundle[i]).context(fmt::format("cabundle {}", i))));
  }
  return intermediates;
}

// One P-384 verification for the document, which comes first as the cheapest refusal, and one per
// certificate.
Status verify_parsed(const SignedDocument& message, const crypto::Certificate& root, sys::UnixMillis at) {
  TRY(check_range(message.signature));
  auto intermediates = TRY(intermediates_of(message.document, root));
  auto leaf = TRY(crypto::Certificate::from_der(message.document.certificate));
  TRY(crypto::verify_signature(leaf, message.signed_bytes, message.signature));
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
