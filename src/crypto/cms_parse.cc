// EnvelopedData, read. Written by hand rather than with OpenSSL's CMS decoder: that one accepts every kind of
// recipient and algorithm there ever was, and these bytes come from the host.
#include "crypto/ber.h"
#include "crypto/cms.h"
#include "crypto/cms_oids.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kBlock = 16;              // bytes, AES
constexpr std::size_t kMinRsaCiphertext = 256;  // bytes; RSA of 2048 bits
constexpr std::size_t kMaxRsaCiphertext = 512;  // bytes; RSA of 4096 bits
constexpr std::size_t kMaxKeyId = 64;           // bytes; KMS has 32

// AlgorithmIdentifier { sha256, NULL }
Status parse_sha256(BerReader& ber) {
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidSha256));
  TRY(ber.expect(BerTag::null, {}));
  return ber.leave();
}

// AlgorithmIdentifier { id-RSAES-OAEP, { [0] sha256, [1] { mgf1, sha256 } } }, RFC 4055 section 4.1
Status parse_oaep(BerReader& ber) {
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidRsaesOaep));
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.enter(BerTag::context_0));
  TRY(parse_sha256(ber));
  TRY(ber.leave());
  TRY(ber.enter(BerTag::context_1));
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidMgf1));
  TRY(parse_sha256(ber));
  TRY(ber.leave());
  TRY(ber.leave());
  TRY(ber.leave());
  return ber.leave();
}

// RecipientInfos ::= SET SIZE (1) OF KeyTransRecipientInfo { 2, [0] subjectKeyIdentifier, algorithm,
// encryptedKey }
Status parse_recipient(BerReader& ber, EnvelopedData& out) {
  TRY(ber.enter(BerTag::set));
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::integer, kCmsVersion2));
  out.recipient_key_id = to_bytes(TRY(ber.primitive(BerTag::context_0_primitive)));
  TRY(parse_oaep(ber).context("key encryption algorithm"));
  out.encrypted_key = to_bytes(TRY(ber.primitive(BerTag::octet_string)));
  TRY(ber.leave());
  return ber.leave();
}

// AlgorithmIdentifier { aes256-CBC, iv }
Status parse_aes(BerReader& ber, EnvelopedData& out) {
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidAes256Cbc));
  out.iv = to_bytes(TRY(ber.primitive(BerTag::octet_string)));
  return ber.leave();
}

// [0] IMPLICIT OCTET STRING: in one piece, or constructed of primitive pieces. KMS sends either.
Result<Bytes> parse_content(BerReader& ber) {
  if (ber.next_is(BerTag::context_0_primitive))
    return to_bytes(TRY(ber.primitive(BerTag::context_0_primitive)));
  Bytes out;
  TRY(ber.enter(BerTag::context_0));
  while (ber.next_is(BerTag::octet_string)) append(out, TRY(ber.primitive(BerTag::octet_string)));
  TRY(ber.leave());
  return out;
}

// EncryptedContentInfo { id-data, algorithm, content }
Status parse_content_info(BerReader& ber, EnvelopedData& out) {
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidData));
  TRY(parse_aes(ber, out).context("content encryption algorithm"));
  out.encrypted_content = TRY(parse_content(ber));
  return ber.leave();
}

Status check_sizes(const EnvelopedData& envelope) {
  if (envelope.recipient_key_id.empty() || envelope.recipient_key_id.size() > kMaxKeyId) {
    return fail(ErrorKind::corrupt, "key identifier of {} bytes", envelope.recipient_key_id.size());
  }
  if (envelope.encrypted_key.size() < kMinRsaCiphertext ||
      envelope.encrypted_key.size() > kMaxRsaCiphertext) {
    return fail(ErrorKind::corrupt, "encrypted key of {} bytes", envelope.encrypted_key.size());
  }
  if (envelope.iv.size() != kBlock) return fail(ErrorKind::corrupt, "iv of {} bytes", envelope.iv.size());
  if (envelope.encrypted_content.empty() || envelope.encrypted_content.size() % kBlock != 0) {
    return fail(ErrorKind::corrupt, "content of {} bytes", envelope.encrypted_content.size());
  }
  return {};
}

// ContentInfo { id-envelopedData, [0] EnvelopedData { 2, RecipientInfos, EncryptedContentInfo } }
Status parse_all(BerReader& ber, EnvelopedData& out) {
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::object_identifier, kOidEnvelopedData));
  TRY(ber.enter(BerTag::context_0));
  TRY(ber.enter(BerTag::sequence));
  TRY(ber.expect(BerTag::integer, kCmsVersion2));
  TRY(parse_recipient(ber, out).context("recipient"));
  TRY(parse_content_info(ber, out).context("content"));
  TRY(ber.leave());
  TRY(ber.leave());
  TRY(ber.leave());
  TRY(ber.finish());
  return check_sizes(out);
}

}  // namespace

Result<EnvelopedData> EnvelopedData::parse(ByteView ber) {
  if (ber.size() > kMaxEnvelope)
    return fail(ErrorKind::corrupt, "envelope: longer than {} bytes", kMaxEnvelope);
  BerReader reader(ber);
  EnvelopedData out;
  TRY(parse_all(reader, out).context("envelope"));
  return out;
}

}  // namespace cloister::crypto
