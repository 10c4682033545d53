// The exact exchange that turns a package's header into the key of its stream: signature, pinned signer,
// attestation, KMS, envelope, commitment, in this order, each a condition for the next. The data key lives
// only inside release().
#pragma once

#include "attestation/nsm.h"
#include "enclave/kms_access.h"
#include "enclave/messages.h"
#include "enclave/recipient_keys.h"
#include "enclave/trust.h"
#include "kms/client.h"
#include "package/header.h"
#include "package/keys.h"
#include "sys/endpoint.h"

namespace cloister::enclave {

inline constexpr sys::milliseconds kKeyReleaseTimeout = sys::seconds(60);

// A header that verify() has passed, with the bytes it was read from: nobody else can make one.
class VerifiedHeader {
 public:
  const package::Header& header() const { return header_; }
  ByteView prefix() const { return prefix_; }

 private:
  friend class KeyRelease;
  VerifiedHeader(package::Header header, ByteView prefix)
      : header_(std::move(header)), prefix_(to_bytes(prefix)) {}
  package::Header header_;
  Bytes prefix_;
};

struct Released {
  package::StreamKey key;
  std::string notice;  // what the caller should know; empty: nothing
};

class KeyRelease {
 public:
  KeyRelease(const Trust& trust, attestation::NsmDevice& nsm, RecipientKeys& keys, kms::Connector connect,
             const sys::Clock& clock)
      : trust_(trust), nsm_(nsm), keys_(keys), connect_(std::move(connect)), clock_(clock) {}

  // prefix: the package's bytes before its content. corrupt: malformed, or the signature is wrong. denied:
  // none of these signers made it.
  static Result<VerifiedHeader> verify(ByteView prefix, const PinnedSigners& pinned);
  // denied: KMS refuses. corrupt: envelope or commitment.
  Result<Released> release(const VerifiedHeader& package, ByteView content_header, const KmsAccess& access);

 private:
  Result<Secret> data_key(const package::Header& header, const KmsAccess& access, std::string& notice);

  const Trust& trust_;
  attestation::NsmDevice& nsm_;
  RecipientKeys& keys_;
  kms::Connector connect_;
  const sys::Clock& clock_;
};

// Through the parent's proxy: CONNECT, then TLS that ends here, verified against the trust file's
// authorities.
kms::Connector connect_through_proxy(const sys::Endpoint& proxy, const Trust& trust);

}  // namespace cloister::enclave
