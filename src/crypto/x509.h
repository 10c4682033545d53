// X.509 certificates: making development ones, and verifying chains strictly at a given time.
#pragma once

#include <string>
#include <vector>

#include "crypto/keys.h"
#include "sys/clock.h"

namespace cloister::crypto {

inline constexpr std::size_t kMaxChain = 8;                // certificates
inline constexpr std::size_t kMaxCertificate = 16 * 1024;  // bytes

class Certificate {
 public:
  static Result<Certificate> from_der(ByteView der);  // refuses trailing bytes
  static Result<std::vector<Certificate>> list_from_pem(ByteView pem);

  Bytes der() const;
  std::string pem() const;
  Result<PublicKey> public_key() const;
  std::string subject() const;  // RFC 2253 form
  sys::UnixMillis not_before() const;
  sys::UnixMillis not_after() const;
  Sha256 fingerprint() const;  // SHA-256 of the DER

  void* handle() const { return certificate_.get(); }  // X509*, for this room
  explicit Certificate(std::shared_ptr<void> certificate) : certificate_(std::move(certificate)) {}

 private:
  std::shared_ptr<void> certificate_;
};

// leaf ← intermediates… ← root, each signing the next, at time `at`, as strict as Nitro's own certificates
// allow: signatures (ECDSA with SHA-384, keys on the named curve P-384, nothing else), validity of every
// certificate, names, CA flag, path length, key usage (keyCertSign of issuers, digitalSignature of the leaf),
// no unknown critical extension, none twice, none with bytes after its value. `intermediates` are in order
// from the root's child to the leaf's issuer, every one of them is used, and the root itself is trusted by
// equality with `root`. One signature verification per certificate, the root's own included. denied: any
// doubt, naming the certificate. Sources: RFC 5280 section 6.1; aws-nitro-enclaves-nsm-api,
// docs/attestation_process.md, section 3.2.3.
Status verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                    const Certificate& root, sys::UnixMillis at);

// That the certificate's key, which has to be on the named curve P-384, made this signature (r‖s, SHA-384).
// Says nothing of the certificate itself. Does not decode the key again, as public_key() does. denied.
Status verify_signature(const Certificate& signer, ByteView message, ByteView signature);

// What a new certificate says.
struct CertificateRequest {
  std::string common_name;
  std::string organization;
  bool authority = false;
  int path_length = -1;                // authorities: -1 for no limit
  std::vector<std::string> dns_names;  // subjectAltName; "*.x" wildcards allowed
  std::vector<std::string> addresses;  // subjectAltName IP
  sys::UnixMillis not_before = 0;
  sys::UnixMillis not_after = 0;
};
// issuer == nullptr: self-signed by subject_key.
Result<Certificate> issue_certificate(const CertificateRequest& request, const PublicKey& subject_key,
                                      const Certificate* issuer, const PrivateKey& issuer_key);

}  // namespace cloister::crypto
