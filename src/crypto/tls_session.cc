#include "crypto/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/transport_bio.h"

namespace cloister::crypto {

namespace {

constexpr int kSecurityLevel = 2;              // 112 bits, as OpenSSL counts
constexpr std::size_t kReadAhead = 64 * 1024;  // bytes taken from the transport at once
constexpr int kFirstAlertReason = 1000;        // OpenSSL's reasons from here on are alerts of the peer

// What a failed operation means, most telling cause first. Empties the error queue.
Error session_error(SSL* ssl, TransportBridge& bridge, ErrorKind otherwise) {
  auto reason = ERR_GET_REASON(ERR_peek_last_error());
  auto kind = otherwise;
  if (reason >= kFirstAlertReason) kind = ErrorKind::denied;
  Error error = fail_openssl(kind, "TLS").error();
  // After an end OpenSSL tries to send an alert; that this failed too tells nobody anything.
  if (auto cause = bridge.take_error(); cause && !bridge.ended()) return *std::move(cause);
  if (auto verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK && !SSL_is_init_finished(ssl)) {
    return Error(ErrorKind::denied,
                 fmt::format("peer's certificate: {}", X509_verify_cert_error_string(verdict)));
  }
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || bridge.ended()) {
    return Error(ErrorKind::unavailable, "the connection was cut");
  }
  return error;
}

class Session final : public TlsStream {
 public:
  Session(std::unique_ptr<sys::Stream> transport, Handle<SSL> ssl)
      : bridge_(std::move(transport)), ssl_(std::move(ssl)) {
    BIO* bio = bridge_.make_bio().release();
    SSL_set_bio(ssl_.get(), bio, bio);
  }

  Status handshake(TlsSide side);

  Result<std::size_t> read_some(MutableByteView buffer) override;
  Status write_all(ByteView bytes) override;
  Status shutdown_write() override;
  void set_deadline(sys::Deadline deadline) override { bridge_.set_deadline(deadline); }
  int descriptor() const override { return bridge_.descriptor(); }

  Result<PublicKey> peer_key() const override;
  Result<ByteArray<kExporterSize>> exporter() const override;
  bool pending() const override { return SSL_has_pending(ssl_.get()) == 1; }

 private:
  // Every operation starts with an empty error queue: SSL_get_error() reads it.
  void begin() {
    bridge_.begin_operation();
    ERR_clear_error();
  }
  std::unexpected<Error> failure(ErrorKind otherwise) {
    return std::unexpected(session_error(ssl_.get(), bridge_, otherwise));
  }

  TransportBridge bridge_;  // before ssl_, which holds a BIO over it
  Handle<SSL> ssl_;
};

Status Session::handshake(TlsSide side) {
  begin();
  int done = side == TlsSide::client ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get());
  if (done != 1) {
    auto failed = failure(ErrorKind::denied);
    (void)bridge_.flush();  // our alert tells the peer why; it may be gone
    return failed;
  }
  return bridge_.flush();
}

Result<std::size_t> Session::read_some(MutableByteView buffer) {
  if (buffer.empty()) return std::size_t{0};
  begin();
  std::size_t n = 0;
  int done = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n);
  if (done == 1) return n;
  // Only close_notify is an end; a transport that just stops may have been cut by anyone.
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
  return failure(ErrorKind::corrupt);
}

Status Session::write_all(ByteView bytes) {
  if (bytes.empty()) return {};
  begin();
  std::size_t n = 0;
  if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n) != 1) return failure(ErrorKind::unavailable);
  return bridge_.flush();
}

Status Session::shutdown_write() {
  if ((SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0) return {};
  begin();
  if (SSL_shutdown(ssl_.get()) < 0) return failure(ErrorKind::unavailable);
  return bridge_.flush();
}

Result<PublicKey> Session::peer_key() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return fail(ErrorKind::not_found, "the peer showed no certificate");
  X509_up_ref(certificate);
  Certificate shared(std::shared_ptr<void>(certificate, [](void* p) { X509_free(static_cast<X509*>(p)); }));
  return shared.public_key();
}

Result<ByteArray<kExporterSize>> Session::exporter() const {
  // TLS 1.2 binds the exporter to the whole handshake only with an extension (RFC 7627).
  if (SSL_version(ssl_.get()) != TLS1_3_VERSION)
    return fail(ErrorKind::invalid, "TLS exporter: needs TLS 1.3");
  ByteArray<kExporterSize> out;
  if (SSL_export_keying_material(ssl_.get(), out.data(), out.size(), kExporterLabel.data(),
                                 kExporterLabel.size(), nullptr, 0, 1) != 1) {
    return fail_openssl(ErrorKind::internal, "TLS exporter");
  }
  return out;
}

}  // namespace

Result<Handle<SSL_CTX>> new_tls_context(TlsSide side, std::size_t max_peer_chain) {
  Handle<SSL_CTX> made(SSL_CTX_new(side == TlsSide::client ? TLS_client_method() : TLS_server_method()));
  if (!made) return fail_openssl(ErrorKind::internal, "TLS context");
  SSL_CTX* context = made.get();
  SSL_CTX_set_security_level(context, kSecurityLevel);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_CLEANSE_PLAINTEXT);  // what was read stays in a buffer else
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_recv_max_early_data(context, 0);
  SSL_CTX_set_max_cert_list(context, static_cast<long>(max_peer_chain));
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAhead);
  bool ok = SSL_CTX_set_num_tickets(context, 0) == 1 &&
            SSL_CTX_set_ciphersuites(
                context, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1;
  if (!ok) return fail_openssl(ErrorKind::internal, "TLS context");
  return made;
}

Status use_certificates(SSL_CTX* context, const PrivateKey& key, const std::vector<Certificate>& chain) {
  if (chain.empty() || chain.size() > kMaxChain) {
    return fail(ErrorKind::invalid, "TLS certificates: {} in the chain", chain.size());
  }
  bool ok = SSL_CTX_use_certificate(context, static_cast<X509*>(chain.front().handle())) == 1 &&
            SSL_CTX_use_PrivateKey(context, static_cast<EVP_PKEY*>(key.handle())) == 1 &&
            SSL_CTX_check_private_key(context) == 1;
  for (std::size_t i = 1; ok && i < chain.size(); ++i) {
    ok = SSL_CTX_add1_chain_cert(context, static_cast<X509*>(chain[i].handle())) == 1;
  }
  if (!ok) return fail_openssl(ErrorKind::invalid, "TLS certificates");
  return {};
}

Result<std::unique_ptr<TlsStream>> tls_handshake(std::unique_ptr<sys::Stream> transport, Handle<SSL> ssl,
                                                 TlsSide side) {
  auto session = std::make_unique<Session>(std::move(transport), std::move(ssl));
  TRY(session->handshake(side).context("TLS handshake"));
  return session;
}

}  // namespace cloister::crypto
