#include "host/session.h"

#include "crypto/digest.h"
#include "host/key_file.h"

namespace cloister::host {

namespace {

constexpr std::string_view kBindingTag = "cloister/tls/v1";
constexpr const char* kClockHint = "set this machine's clock: timedatectl set-ntp true";
constexpr std::size_t kNonceSize = 32;

// A wrong clock shows as certificates that are not valid yet, or no more. The time is not verified: it is
// good for a hint only.
bool is_dated_otherwise(std::string_view document, sys::UnixMillis now) {
  auto parsed = attestation::SignedDocument::parse(as_bytes(document));
  return parsed && std::abs(now - parsed->document.timestamp) > kMaxDocumentAge.count();
}

Result<attestation::Document> fetch_document(http::Client& http, const crypto::TlsStream& tls,
                                             const Expectation& expected, const sys::Clock& clock) {
  auto nonce = crypto::random_bytes(kNonceSize);
  http::Request request{.target = fmt::format("/v1/attestation?nonce={}", to_hex(nonce))};
  auto response = TRY(http.exchange(request, sys::Deadline::after(kRequestTimeout)));
  if (response.status != 200) return std::unexpected(http::error_from(response));
  auto verified = attestation::verify(as_bytes(response.body), expected.root, clock.now());
  if (!verified && is_dated_otherwise(response.body, clock.now()))
    return std::unexpected(std::move(verified).error().with_hint(kClockHint));
  auto document = TRY(std::move(verified));
  auto spki = TRY(tls.peer_key()).spki();
  TRY(check_session_document(document, nonce, spki, TRY(tls.exporter()), expected, clock.now()));
  return document;
}

}  // namespace

Result<crypto::TlsIdentity> load_or_create_client_key(const std::string& path) {
  auto file = TRY(load_or_create_key(path, crypto::KeyType::p256).context("the client key"));
  return crypto::TlsIdentity::from_key(std::move(file.key), "cloister client");
}

Status check_session_document(const attestation::Document& document, ByteView nonce, ByteView server_spki,
                              ByteView exporter, const Expectation& expected, sys::UnixMillis now) {
  if (!document.nonce || !equal_constant_time(*document.nonce, nonce)) {
    return fail(ErrorKind::denied, "the attestation document answers another nonce");
  }
  if (document.public_key)
    return fail(ErrorKind::denied, "the attestation document was made for another purpose");
  Bytes bound = to_bytes(kBindingTag);
  append(bound, server_spki);
  append(bound, exporter);
  auto binding = crypto::sha256(bound);
  if (!document.user_data || !equal_constant_time(*document.user_data, binding)) {
    return fail(ErrorKind::denied,
                "the attestation document belongs to another connection: somebody stands between you and the "
                "enclave");
  }
  if (std::abs(now - document.timestamp) > kMaxDocumentAge.count()) {
    Error error(ErrorKind::denied, fmt::format("the attestation document is {} s off this machine's clock",
                                               std::abs(now - document.timestamp) / 1000));
    return std::unexpected(std::move(error).with_hint(kClockHint));
  }
  if (document.debug_mode())
    return fail(ErrorKind::denied, "the enclave runs in debug mode: its console is open to the host");
  return expected.measurements.check(document);
}

Result<Session> Session::open(const sys::Endpoint& control, const crypto::TlsIdentity& identity,
                              const Expectation& expected, const sys::Clock& clock) {
  auto deadline = sys::Deadline::after(kConnectTimeout);
  auto transport = std::make_unique<sys::FdStream>(
      TRY(sys::connect(control, deadline).context("no enclave").with_hint("run: cloister up")));
  transport->set_deadline(deadline);
  auto tls = TRY(crypto::attested_connect(std::move(transport), identity));
  auto* connection = tls.get();
  auto http = std::make_unique<http::Client>(std::move(tls), "enclave");
  auto document = TRY(fetch_document(*http, *connection, expected, clock).context("attestation"));
  return Session(std::move(http), std::move(document));
}

Result<http::Response> Session::request(const http::Request& request) {
  auto response = TRY(http_->exchange(request, sys::Deadline::after(kRequestTimeout)));
  if (response.status < 200 || response.status >= 300) return std::unexpected(http::error_from(response));
  return response;
}

}  // namespace cloister::host
