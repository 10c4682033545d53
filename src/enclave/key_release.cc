#include "enclave/key_release.h"

#include "crypto/cms.h"
#include "crypto/tls.h"
#include "http/client.h"
#include "package/start.h"
#include "sys/endpoint.h"

namespace cloister::enclave {

namespace {

constexpr unsigned kHttpsPort = 443;
constexpr const char* kProxyHint =
    "the host's proxy cannot reach it: is KMS running, and does `cloister status` show this name beside the "
    "proxy?";

}  // namespace

Result<VerifiedHeader> KeyRelease::verify(ByteView prefix, const PinnedSigners& pinned) {
  auto header = TRY(package::parse_prefix(prefix));
  TRY(header.verify_signature());
  if (auto signer = header.signer_fingerprint(); !pinned.contains(signer)) {
    Error error(ErrorKind::denied,
                fmt::format("unknown signer: the package is signed by {}", to_hex(signer)));
    return std::unexpected(std::move(error).with_hint(fmt::format(
        "compare this fingerprint with its owner, then: cloister signer add NAME {}", to_hex(signer))));
  }
  return VerifiedHeader(std::move(header), prefix);
}

Result<Released> KeyRelease::release(const VerifiedHeader& package, ByteView content_header,
                                     const KmsAccess& access) {
  std::string notice;
  auto key = TRY(data_key(package.header(), access, notice));
  TRY(package::check_commitment(key, package.header()));
  return Released{TRY(package::derive_stream_key(key, package.prefix(), content_header)), std::move(notice)};
}

// Rule 8: KeyId and context come from the signed header, the answer must name the same key, carry an envelope
// and no plaintext.
Result<Secret> KeyRelease::data_key(const package::Header& header, const KmsAccess& access,
                                    std::string& notice) {
  auto arn = TRY(kms::KeyArn::parse(header.key_arn));
  auto host = TRY(trust_.kms_host(header.key_arn, access.endpoint));
  auto recipient = TRY(keys_.take());
  auto document = TRY(attestation::Nsm(nsm_).attest({.public_key = recipient.public_key().spki()}));
  kms::Client client({.connect = connect_,
                      .host = host,
                      .port = kHttpsPort,
                      .region = arn.region,
                      .on_notice = [&](const std::string& text) { notice = text; }},
                     access.credentials.copy(), clock_);
  auto envelope =
      TRY(client.decrypt_for_recipient(arn, header.wrapped_keys.front(), header.encryption_context(),
                                       document, sys::Deadline::after(kKeyReleaseTimeout)));
  auto parsed = TRY(crypto::EnvelopedData::parse(envelope));
  return crypto::open_envelope(parsed, recipient);
}

kms::Connector connect_through_proxy(const sys::Endpoint& proxy, const Trust& trust) {
  return [proxy, &trust](const std::string& host, unsigned port,
                         sys::Deadline deadline) -> Result<std::unique_ptr<sys::Stream>> {
    auto fd =
        sys::connect(proxy, deadline).context("no proxy on the host").with_hint("run: cloister proxy -s kms");
    auto stream = std::make_unique<sys::FdStream>(TRY(std::move(fd)));
    stream->set_deadline(deadline);
    TRY(http::connect_through(*stream, host, port, deadline).with_hint(kProxyHint));
    return TRY(crypto::web_connect(std::move(stream), host, trust.kms_authorities));
  };
}

}  // namespace cloister::enclave
