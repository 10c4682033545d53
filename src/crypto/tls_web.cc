// Web TLS: what a browser would do towards KMS, with the trusted roots named by the caller.
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "crypto/handles.h"
#include "crypto/tls_session.h"

namespace cloister::crypto {

namespace {

constexpr std::size_t kMaxPeerChain = kMaxChain * kMaxCertificate;
constexpr std::size_t kMaxHost = 253;  // characters

Result<Handle<SSL_CTX>> web_context(TlsSide side) {
  auto made = TRY(new_tls_context(side, kMaxPeerChain));
  bool ok = SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION) == 1 &&
            SSL_CTX_set_cipher_list(made.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
            SSL_CTX_set1_groups_list(made.get(), "X25519:P-256:P-384") == 1;
  if (!ok) return fail_openssl(ErrorKind::internal, "TLS context");
  return made;
}

bool is_address(const std::string& host) {
  Handle<ASN1_OCTET_STRING> address(a2i_IPADDRESS(host.c_str()));
  clear_errors();
  return address != nullptr;
}

// Names are taken from subjectAltName only, never from the common name.
Status expect_host(SSL* ssl, const std::string& host) {
  auto* parameters = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(parameters,
                                  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  bool ok = is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1
                             : X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) == 1 &&
                                   SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
  if (!ok) return fail_openssl(ErrorKind::invalid, "TLS host name");
  return {};
}

}  // namespace

Result<std::unique_ptr<TlsStream>> web_connect(std::unique_ptr<sys::Stream> transport,
                                               const std::string& host,
                                               const std::vector<Certificate>& trusted) {
  // An empty name would switch the check off; a NUL would hide the rest of it from C.
  if (host.empty() || host.size() > kMaxHost || host.find('\0') != std::string::npos) {
    return fail(ErrorKind::invalid, "TLS host name: empty, too long or malformed");
  }
  auto context = TRY(web_context(TlsSide::client));
  auto* store = SSL_CTX_get_cert_store(context.get());
  for (const auto& root : trusted) {
    if (X509_STORE_add_cert(store, static_cast<X509*>(root.handle())) != 1) {
      return fail_openssl(ErrorKind::internal, "TLS trusted certificates");
    }
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  Handle<SSL> ssl(SSL_new(context.get()));
  if (!ssl) return fail_openssl(ErrorKind::internal, "TLS session");
  TRY(expect_host(ssl.get(), host));
  return tls_handshake(std::move(transport), std::move(ssl), TlsSide::client);
}

Result<std::unique_ptr<TlsStream>> web_accept(std::unique_ptr<sys::Stream> transport, const PrivateKey& key,
                                              const std::vector<Certificate>& chain) {
  auto context = TRY(web_context(TlsSide::server));
  TRY(use_certificates(context.get(), key, chain));
  Handle<SSL> ssl(SSL_new(context.get()));
  if (!ssl) return fail_openssl(ErrorKind::internal, "TLS session");
  return tls_handshake(std::move(transport), std::move(ssl), TlsSide::server);
}

}  // namespace cloister::crypto
