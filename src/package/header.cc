#include "package/header.h"

#include <algorithm>

#include "codec/cbor.h"

namespace cloister::package {

using codec::CborMapBuilder;
using codec::CborReader;
using codec::CborWriter;

namespace {

constexpr std::size_t kFields = 11;
constexpr std::size_t kOwnContext = 4;  // the cloister:* entries
// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 key bytes (RFC 8410 section 4).
constexpr ByteArray<12> kEd25519Spki = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                        0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

bool is_label_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string lowercase(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

void write_context(CborWriter& out, const EncryptionContext& context) {
  CborMapBuilder map;
  for (const auto& [key, value] : context) map.add_text(key, value);
  map.write_to(out);
}

Bytes encode_fields(const Header& header, bool with_signature) {
  CborMapBuilder map;
  map.add_uint("v", kFormatVersion);
  map.add_text("key", header.key_arn);
  map.add_text("name", header.name);
  map.add_bytes("public", header.public_manifest.encode());
  map.add_bytes("signer", header.signer_key);
  map.add("context", [&](CborWriter& out) { write_context(out, header.encryption_context()); });
  map.add_text("release", header.release);
  map.add("wrapped", [&](CborWriter& out) {
    out.array(header.wrapped_keys.size());
    for (const auto& key : header.wrapped_keys) out.bytes(key);
  });
  map.add("manifest", [&](CborWriter& out) {
    if (header.manifest_digest)
      out.bytes(*header.manifest_digest);
    else
      out.null();
  });
  if (with_signature) map.add_bytes("signature", header.signature);
  map.add_bytes("commitment", header.commitment);
  return map.encode();
}

template <std::size_t N>
Result<ByteArray<N>> fixed_bytes(CborReader& reader) {
  auto view = TRY(reader.bytes_view(N, N));
  ByteArray<N> out{};
  std::ranges::copy(view, out.begin());
  return out;
}

Result<EncryptionContext> parse_context(CborReader& reader) {
  auto map = TRY(reader.map(kMaxExtraContext + kOwnContext));
  EncryptionContext context;
  while (TRY(map.more())) {
    auto key = TRY(reader.text(kMaxContextKey, 1));
    context[std::move(key)] = TRY(reader.text(kMaxContextValue));
  }
  TRY(map.finish());
  return context;
}

Result<std::vector<Bytes>> parse_wrapped(CborReader& reader) {
  auto array = TRY(reader.array(kMaxWrappedKeys));
  std::vector<Bytes> keys;
  while (TRY(array.more())) keys.push_back(TRY(reader.bytes(kMaxWrappedKey, 1)));
  TRY(array.finish());
  return keys;
}

// In the order of the encoded keys: shorter first, then bytewise.
Result<Header> parse_fields(CborReader& reader, EncryptionContext& context) {
  Header header;
  auto map = TRY(reader.map(kFields));
  TRY(map.expect_key("v"));
  if (auto version = TRY(reader.uint()); version != kFormatVersion) {
    return fail(ErrorKind::invalid, "format version {} (this build knows {})", version, kFormatVersion);
  }
  TRY(map.expect_key("key"));
  header.key_arn = TRY(reader.text(kMaxKeyArn));
  TRY(map.expect_key("name"));
  header.name = TRY(reader.text(kMaxLabel));
  TRY(map.expect_key("public"));
  auto shown = TRY(reader.bytes_view(kMaxPublicManifest));
  header.public_manifest = TRY(PublicManifest::parse(shown));
  TRY(map.expect_key("signer"));
  header.signer_key = TRY(fixed_bytes<32>(reader));
  TRY(map.expect_key("context"));
  context = TRY(parse_context(reader));
  TRY(map.expect_key("release"));
  header.release = TRY(reader.text(kMaxLabel));
  TRY(map.expect_key("wrapped"));
  header.wrapped_keys = TRY(parse_wrapped(reader));
  TRY(map.expect_key("manifest"));
  if (!TRY(reader.optional_null())) header.manifest_digest = TRY(fixed_bytes<32>(reader));
  TRY(map.expect_key("signature"));
  header.signature = TRY(fixed_bytes<64>(reader));
  TRY(map.expect_key("commitment"));
  header.commitment = TRY(fixed_bytes<32>(reader));
  TRY(map.finish());
  TRY(reader.finish());
  return header;
}

// The header's own fields say what the cloister:* entries must be; the others are the owner's.
Status take_context(Header& header, const EncryptionContext& context) {
  for (const auto& [key, value] : context) {
    if (!key.starts_with(kContextPrefix)) header.extra_context[key] = value;
  }
  if (header.encryption_context() != context) {
    return fail(ErrorKind::corrupt, "the encryption context contradicts the header's own fields");
  }
  return {};
}

Result<Header> parse_header(ByteView cbor) {
  if (cbor.size() > kMaxHeader) return fail(ErrorKind::corrupt, "longer than {} bytes", kMaxHeader);
  CborReader reader(cbor);
  EncryptionContext context;
  auto header = TRY(parse_fields(reader, context));
  TRY(take_context(header, context));
  TRY(header.check());
  return header;
}

}  // namespace

Status check_label(std::string_view label, std::string_view what) {
  if (label.empty() || label.size() > kMaxLabel || !std::ranges::all_of(label, is_label_char)) {
    return fail(ErrorKind::invalid, "{} must be 1 to {} of the characters A-Z a-z 0-9 . _ -", what,
                kMaxLabel);
  }
  return {};
}

// Condition keys of IAM policies ignore case, so two entries that differ only in case would be one to KMS's
// policies.
Status check_extra_context(const EncryptionContext& extra) {
  if (extra.size() > kMaxExtraContext) {
    return fail(ErrorKind::invalid, "more than {} extra entries of encryption context", kMaxExtraContext);
  }
  std::vector<std::string> seen;
  for (const auto& [key, value] : extra) {
    if (key.empty() || key.size() > kMaxContextKey || value.size() > kMaxContextValue) {
      return fail(ErrorKind::invalid,
                  "encryption context: a key of {} and a value of {} bytes (1 to {} and up to {})",
                  key.size(), value.size(), kMaxContextKey, kMaxContextValue);
    }
    if (!is_printable_ascii(key) || !is_printable_ascii(value)) {
      return fail(ErrorKind::invalid, "encryption context: an entry that is not printable ASCII");
    }
    auto folded = lowercase(key);
    if (folded.starts_with(kContextPrefix)) {
      return fail(ErrorKind::invalid, "encryption context: '{}' is reserved", key);
    }
    if (std::ranges::find(seen, folded) != seen.end()) {
      return fail(ErrorKind::invalid, "encryption context: '{}' differs from another key only in case", key);
    }
    seen.push_back(std::move(folded));
  }
  return {};
}

Status check_key_arn(std::string_view arn) {
  auto refuse = [] {
    return fail(ErrorKind::invalid, "the key is not a full key ARN (arn:aws:kms:REGION:ACCOUNT:key/ID)");
  };
  if (arn.size() > kMaxKeyArn) return refuse();
  std::vector<std::string_view> parts;
  for (int i = 0; i < 5; ++i) {
    auto colon = arn.find(':');
    if (colon == std::string_view::npos) return refuse();
    parts.push_back(arn.substr(0, colon));
    arn.remove_prefix(colon + 1);
  }
  auto partition_or_region = [](std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
      return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-';
    });
  };
  bool account = parts[4].size() == 12 && std::ranges::all_of(parts[4], is_digit);
  bool key = arn.starts_with("key/") && arn.size() > 4 && std::ranges::all_of(arn.substr(4), is_label_char);
  if (parts[0] != "arn" || !parts[1].starts_with("aws") || !partition_or_region(parts[1]) ||
      parts[2] != "kms" || !partition_or_region(parts[3]) || !account || !key) {
    return refuse();
  }
  return {};
}

Bytes Header::encode() const {
  return encode_fields(*this, true);
}

Result<Header> Header::parse(ByteView cbor) {
  return parse_header(cbor).context("package header");
}

Status Header::check() const {
  TRY(check_label(name, "name"));
  TRY(check_label(release, "release"));
  TRY(check_key_arn(key_arn));
  if (wrapped_keys.empty() || wrapped_keys.size() > kMaxWrappedKeys) {
    return fail(ErrorKind::invalid, "{} wrapped keys (1 to {} allowed)", wrapped_keys.size(),
                kMaxWrappedKeys);
  }
  for (const auto& key : wrapped_keys) {
    if (key.empty() || key.size() > kMaxWrappedKey) {
      return fail(ErrorKind::invalid, "a wrapped key of {} bytes (1 to {} allowed)", key.size(),
                  kMaxWrappedKey);
    }
  }
  TRY(check_extra_context(extra_context));
  if (!manifest_digest && public_manifest != Manifest{}.public_part()) {
    return fail(ErrorKind::invalid, "terms other than the defaults without a manifest");
  }
  return {};
}

Bytes Header::signed_bytes() const {
  Writer out;
  out.bytes(as_bytes(kSignatureDomain)).u8(0).bytes(kMagic).bytes(encode_fields(*this, false));
  return std::move(out).take();
}

Status Header::sign(const crypto::PrivateKey& signer) {
  if (signer.type() != crypto::KeyType::ed25519)
    return fail(ErrorKind::invalid, "packages are signed with Ed25519 keys");
  auto raw = TRY(signer.public_key().raw());
  if (raw.size() != signer_key.size())
    return fail(ErrorKind::internal, "an Ed25519 key of {} bytes", raw.size());
  std::ranges::copy(raw, signer_key.begin());
  auto made = TRY(signer.sign(signed_bytes()));
  if (made.size() != signature.size())
    return fail(ErrorKind::internal, "an Ed25519 signature of {} bytes", made.size());
  std::ranges::copy(made, signature.begin());
  return {};
}

Status Header::verify_signature() const {
  auto key = TRY(crypto::PublicKey::from_raw_ed25519(signer_key).context("signer of the package"));
  return key.verify(signed_bytes(), signature).context("signature of the package");
}

Sha256 Header::signer_fingerprint() const {
  Bytes spki(kEd25519Spki.begin(), kEd25519Spki.end());
  append(spki, signer_key);
  return crypto::sha256(spki);
}

EncryptionContext Header::encryption_context() const {
  EncryptionContext context = extra_context;
  context["cloister:signer"] = to_hex(signer_fingerprint());
  context["cloister:name"] = name;
  context["cloister:release"] = release;
  context["cloister:manifest"] = manifest_digest ? to_hex(*manifest_digest) : std::string(kNoManifest);
  return context;
}

}  // namespace cloister::package
