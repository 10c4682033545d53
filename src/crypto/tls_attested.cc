// Attested sessions: the TLS layer proves that the peer holds the key it shows, and nothing more. Whose key
// it is decides the attestation exchange (server) or the list of known clients (client), both bound to this
// connection.
#include <openssl/ssl.h>

#include "crypto/handles.h"
#include "crypto/tls_session.h"

namespace cloister::crypto {

namespace {

// The peer shows one certificate; the rest is the frame of the Certificate message (RFC 8446 section 4.4.2).
constexpr std::size_t kMaxPeerChain = kMaxCertificate + 1024;
// No use is made of the validity, so it is the widest there is: it says nothing about the maker's clock.
constexpr sys::UnixMillis kNotAfter = 253'402'300'799'000;  // 9999-12-31T23:59:59Z, RFC 5280: no end

bool signs_handshakes(const PublicKey& key) {
  return key.type() == KeyType::ed25519 || key.type() == KeyType::p256 || key.type() == KeyType::p384;
}

// In the place of chain building: the certificate only carries the key. That its holder is at the other end
// is proven by CertificateVerify, which OpenSSL checks in any case.
int accept_any_single_key(X509_STORE_CTX* context, void*) noexcept {
  auto* certificate = X509_STORE_CTX_get0_cert(context);
  bool single = sk_X509_num(X509_STORE_CTX_get0_untrusted(context)) == 1;
  X509_up_ref(certificate);
  Certificate shared(std::shared_ptr<void>(certificate, [](void* p) { X509_free(static_cast<X509*>(p)); }));
  auto key = shared.public_key();
  if (single && key && signs_handshakes(*key)) return 1;
  X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
  return 0;
}

Result<Handle<SSL>> attested_session(TlsSide side, const TlsIdentity& identity) {
  auto made = TRY(new_tls_context(side, kMaxPeerChain));
  SSL_CTX* context = made.get();
  bool ok = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
            SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
            SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1 &&
            SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256:ECDSA+SHA384:ed25519") == 1;
  if (!ok) return fail_openssl(ErrorKind::internal, "TLS context");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, accept_any_single_key, nullptr);
  TRY(use_certificates(context, identity.key, {identity.certificate}));
  Handle<SSL> ssl(SSL_new(context));
  if (!ssl) return fail_openssl(ErrorKind::internal, "TLS session");
  return ssl;
}

}  // namespace

Result<TlsIdentity> TlsIdentity::generate(std::string_view common_name) {
  return from_key(TRY(PrivateKey::generate(KeyType::p256)), common_name);
}

Result<TlsIdentity> TlsIdentity::from_key(PrivateKey key, std::string_view common_name) {
  CertificateRequest request{
      .common_name = std::string(common_name), .not_before = 0, .not_after = kNotAfter};
  auto certificate = TRY(issue_certificate(request, key.public_key(), nullptr, key).context("TLS identity"));
  return TlsIdentity{std::move(key), std::move(certificate)};
}

Result<std::unique_ptr<TlsStream>> attested_accept(std::unique_ptr<sys::Stream> transport,
                                                   const TlsIdentity& identity) {
  return tls_handshake(std::move(transport), TRY(attested_session(TlsSide::server, identity)),
                       TlsSide::server);
}

Result<std::unique_ptr<TlsStream>> attested_connect(std::unique_ptr<sys::Stream> transport,
                                                    const TlsIdentity& identity) {
  return tls_handshake(std::move(transport), TRY(attested_session(TlsSide::client, identity)),
                       TlsSide::client);
}

}  // namespace cloister::crypto
