#include "emulator/authenticate.h"

#include "emulator/access_key.h"
#include "emulator/api.h"
#include "emulator/authorization_header.h"
#include "emulator/session.h"
#include "kms/sigv4.h"
#include "kms/times.h"

namespace cloister::emulator {

namespace {

std::unexpected<Fault> invalid_signature(std::string message) {
  return fault("InvalidSignatureException", "{}", message);
}

Outcome<void> check_date(std::string_view amz_date, std::string_view scope_date, sys::UnixMillis now) {
  auto signed_at = kms::parse_amz_date(amz_date);
  if (!signed_at) {
    return fault("IncompleteSignatureException",
                 "Date must be in ISO-8601 'basic format'. Got '{}'. See "
                 "http://en.wikipedia.org/wiki/ISO_8601",
                 amz_date);
  }
  if (amz_date.substr(0, scope_date.size()) != scope_date) {
    return invalid_signature(fmt::format(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'{}' != '{}', from '{}'.",
        scope_date, amz_date.substr(0, scope_date.size()), amz_date));
  }
  constexpr auto kMinutes = kMaxClockSkew / 60'000;
  auto earliest = kms::format_amz_date(now - kMaxClockSkew);
  auto latest = kms::format_amz_date(now + kMaxClockSkew);
  auto server = kms::format_amz_date(now);
  if (*signed_at < now - kMaxClockSkew) {
    return invalid_signature(fmt::format("Signature expired: {} is now earlier than {} ({} - {} min.)",
                                         amz_date, earliest, server, kMinutes));
  }
  if (*signed_at > now + kMaxClockSkew) {
    return invalid_signature(
        fmt::format("Signature not yet current: {} is still later than {} ({} + {} min.)", amz_date, latest,
                    server, kMinutes));
  }
  return {};
}

Outcome<void> check_scope(const kms::SigningScope& scope, std::string_view region, std::string_view service) {
  if (scope.region != region) {
    return invalid_signature(
        fmt::format("Credential should be scoped to a valid region, not '{}'. ", scope.region));
  }
  if (scope.service != service) {
    return invalid_signature(fmt::format("Credential should be scoped to correct service: '{}'. ", service));
  }
  return {};
}

Outcome<void> check_signature(const http::Request& request, const kms::ParsedAuthorization& parsed,
                              const Secret& secret) {
  auto expected = kms::expected_signature(request, parsed, secret.view());
  if (!expected) return fault("IncompleteSignatureException", "{}", expected.error().message());
  if (!equal_constant_time(as_bytes(*expected), as_bytes(parsed.signature))) {
    return invalid_signature(
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and "
        "signing method. Consult the service documentation for details.");
  }
  return {};
}

Outcome<iam::Caller> to_caller(const PrincipalRecord& principal) {
  iam::Caller out{.arn = principal.caller_arn, .principal_arn = principal.arn, .account = principal.account};
  if (principal.identity_policy)
    out.identity_policy = TRY(iam::Policy::parse(*principal.identity_policy, iam::PolicyKind::identity));
  return out;
}

std::unexpected<Fault> invalid_token() {
  return fault("UnrecognizedClientException", "The security token included in the request is invalid.");
}

// Who an access key stands for, and the secret to check the signature with.
struct Holder {
  iam::Caller caller;
  Secret secret;
};

Outcome<Holder> holder_of_long_lived(Store& store, const std::string& access_key_id) {
  auto key = store.access_key(access_key_id);
  if (!key && key.error().kind() == ErrorKind::not_found) return invalid_token();
  auto access = TRY(std::move(key));
  return Holder{TRY(to_caller(access.principal)), std::move(access.secret)};
}

Outcome<Holder> holder_of_session(Store& store, const std::string& access_key_id, std::string_view token,
                                  sys::UnixMillis now) {
  auto session = read_session(store, access_key_id, token);
  if (!session) return invalid_token();
  if (now >= session->expires)
    return fault("ExpiredTokenException", "The security token included in the request is expired");
  auto role = store.principal(session->role_arn);
  if (!role && role.error().kind() == ErrorKind::not_found) return invalid_token();
  auto caller = TRY(to_caller(TRY(std::move(role))));
  caller.arn = session->arn();
  caller.session_started = session->started;
  const auto& narrowing = session->policy;
  if (narrowing) caller.session_policy = TRY(iam::Policy::parse(*narrowing, iam::PolicyKind::identity));
  return Holder{std::move(caller), std::move(session->secret)};
}

}  // namespace

Outcome<iam::Caller> authenticate(Store& store, const http::Request& request, std::string_view service,
                                  sys::UnixMillis now) {
  auto parsed = TRY(read_authorization(request));
  auto token = request.fields.get("X-Amz-Security-Token");
  // A long-lived key with a token, or a temporary one without: credentials mixed up.
  if (parsed.access_key_id.starts_with(kTemporary) == token.empty()) return invalid_token();
  auto holder = TRY(token.empty() ? holder_of_long_lived(store, parsed.access_key_id)
                                  : holder_of_session(store, parsed.access_key_id, token, now));
  TRY(check_scope(parsed.scope, store.settings().region, service));
  TRY(check_date(request.fields.get("X-Amz-Date"), parsed.scope.date, now));
  TRY(check_signature(request, parsed, holder.secret));
  return std::move(holder.caller);
}

}  // namespace cloister::emulator
