#include "package/diagnostics.h"

#include <algorithm>

#include "codec/cbor.h"

namespace cloister::package {

namespace {

constexpr ByteArray<8> kBundleMagic = {0x8c, 'C', 'L', 'D', 'G', '1', '\r', '\n'};
constexpr std::string_view kInfo = "cloister/diagnostics/v1";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMembers = 8;

// CBOR text is UTF-8; a name that the application chose need not be.
std::string_view bounded(std::string_view text) {
  text = text.substr(0, kMaxDiagnosticText);
  while (!text.empty() && !codec::is_utf8(as_bytes(text))) text.remove_suffix(1);
  return text;
}

}  // namespace

Bytes Diagnostics::encode() const {
  auto kept = std::min(standard_error.size(), kMaxDiagnosticStderr);
  codec::CborMapBuilder map;
  map.add_uint("v", kVersion);
  map.add_text("end", bounded(end));
  map.add_text("name", bounded(name));
  map.add_text("entry", bounded(entry));
  map.add_bytes("signer", signer);
  map.add_bytes("stderr", ByteView(standard_error).last(kept));
  map.add_uint("dropped", dropped + standard_error.size() - kept);
  map.add_text("release", bounded(release));
  return map.encode();
}

Result<Diagnostics> Diagnostics::parse(ByteView cbor) {
  Diagnostics out;
  codec::CborReader reader(cbor);
  auto map = TRY(reader.map(kMembers));
  TRY(map.expect_key("v"));
  if (auto version = TRY(reader.uint()); version != kVersion)
    return fail(ErrorKind::corrupt, "diagnostic bundle: version {} (this build knows {})", version, kVersion);
  TRY(map.expect_key("end"));
  out.end = TRY(reader.text(kMaxDiagnosticText));
  TRY(map.expect_key("name"));
  out.name = TRY(reader.text(kMaxDiagnosticText));
  TRY(map.expect_key("entry"));
  out.entry = TRY(reader.text(kMaxDiagnosticText));
  TRY(map.expect_key("signer"));
  std::ranges::copy(TRY(reader.bytes_view(out.signer.size(), out.signer.size())), out.signer.begin());
  TRY(map.expect_key("stderr"));
  out.standard_error = TRY(reader.bytes(kMaxDiagnosticStderr));
  TRY(map.expect_key("dropped"));
  out.dropped = TRY(reader.uint());
  TRY(map.expect_key("release"));
  out.release = TRY(reader.text(kMaxDiagnosticText));
  TRY(map.finish());
  TRY(reader.finish());
  return out;
}

Result<Bytes> Diagnostics::seal(ByteView owner) const {
  auto box = TRY(crypto::seal_to(TRY(crypto::PublicKey::from_raw_x25519(owner)), kInfo, encode()));
  Bytes bundle = to_bytes(ByteView(kBundleMagic));
  append(bundle, box);
  return bundle;
}

Result<Diagnostics> Diagnostics::open(const crypto::PrivateKey& owner, ByteView bundle) {
  if (bundle.size() > kMaxDiagnosticBundle || bundle.size() < kBundleMagic.size() ||
      !std::ranges::equal(bundle.first(kBundleMagic.size()), kBundleMagic))
    return fail(ErrorKind::corrupt, "not a diagnostic bundle");
  auto plaintext = TRY(crypto::open_sealed(owner, kInfo, bundle.subspan(kBundleMagic.size())));
  return parse(plaintext).context("diagnostic bundle");
}

}  // namespace cloister::package
